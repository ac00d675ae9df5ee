/**
 * A process that takes memory, closes its connection to the daemon and keeps the memory: as one does
 * that is buggy, or means harm. Arguments: the socket directory, how many pages. Says `kept`.
 */
import { join } from 'node:path';
import { loadNative } from '../../../native/index.js';
import { call, clientsOf, withToken } from '../../daemon/harness.js';

const [directory = '', pages = '1'] = process.argv.slice(2);
let arrived: () => void = () => undefined;
const here = new Promise<void>(resolve => (arrived = resolve));
const session = loadNative().openSession(
  {
    device: { backend: 'host', ordinal: 0, library: null },
    lowWaterBytes: 0n,
    highWaterBytes: 1n << 40n,
  },
  event => {
    if (event.kind === 'granted') arrived();
  },
);
const { token } = await session.connect(join(directory, 'extents.sock'), 'keeper', 20_000);
const clients = clientsOf(join(directory, 'kvspan.sock'));
const request = { grantId: '1', orderCounts: [Number(pages)] };
await call(clients.memory, 'acquire', request, withToken(token));
await here;
clients.close();
session.disconnect();
process.send?.('kept');
// The channel to whoever started it keeps it alive; with that its memory goes.
process.once('disconnect', () => process.exit(0));
