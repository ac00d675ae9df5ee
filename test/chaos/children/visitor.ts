/**
 * A process in another user's name: says how it fares, and what happens when it tries what only an
 * administrator may. Then it keeps what it got until it is told to go.
 */
import { join } from 'node:path';
import { loadPackage } from '../../../proto/load.js';
import { errorOfCall } from '../../../proto/refusal.js';
import { credentials } from '@grpc/grpc-js';
import { connectTo } from '../../client/support.js';

const [directory = '', pages = '1'] = process.argv.slice(2);

function evictAll(socket: string): Promise<string> {
  const { AdminService } = loadPackage();
  const client = new AdminService(`unix:${join(directory, socket)}`, credentials.createInsecure());
  return new Promise(resolve => {
    const deadline = Date.now() + 10_000;
    client.evictSession({ sessionId: '1', kill: true }, { deadline }, error => {
      client.close();
      resolve(error === null ? 'done' : errorOfCall(error).code);
    });
  });
}

async function visit() {
  const session = await connectTo(directory, { name: 'visitor' });
  await session.acquire([Number(pages)]);
  return Number(session.stats().heldBytes);
}

const outcome = await visit().then(
  held => ({ held, code: '' }),
  error => ({ held: 0, code: (error as { code: string }).code }),
);
const tried = [await evictAll('kvspan.sock'), await evictAll('admin.sock')];
process.send?.({ ...outcome, uid: process.getuid?.(), tried });
process.once('disconnect', () => process.exit(0));
