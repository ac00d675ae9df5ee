/**
 * A serving process that takes memory and keeps asking for more until somebody ends it. Arguments:
 * the socket directory. Says `holding` once it has its first extents.
 */
import { join } from 'node:path';
import { loadNative } from '../../../native/index.js';
import { call, clientsOf, withToken } from '../harness.js';

const [directory = ''] = process.argv.slice(2);
const device = { backend: 'host', ordinal: 0, library: null } as const;
const session = loadNative().openSession(
  { device, lowWaterBytes: 0n, highWaterBytes: 1n << 40n },
  () => undefined,
);
const { token } = await session.connect(join(directory, 'extents.sock'), 'hold', 20_000);
const { memory } = clientsOf(join(directory, 'kvspan.sock'));
for (let grant = 1; ; grant += 1) {
  const request = { grantId: String(grant), orderCounts: [3, 1], waitMs: 50 };
  await call(memory, 'acquire', request, withToken(token)).catch(() => undefined);
  if (grant === 1) process.stdout.write('holding\n');
}
