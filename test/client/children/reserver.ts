/**
 * A serving process that has a promise: it reserves `tokens`, allocates a slot for the first
 * `prompt` of them if there are any, and says so; grows when it is told to.
 */
import { connectTo, decode, rows, sameBytes, SMALL } from '../support.js';

interface Order {
  readonly name?: string;
  readonly directory: string;
  readonly tokens: number;
  readonly prompt: number;
  readonly lapseMs?: number;
}

const order = JSON.parse(process.argv[2] ?? '{}') as Order;
const session = await connectTo(order.directory, { name: order.name ?? 'reserver' });
const cache = await session.createCache(SMALL);
const { lapseMs } = order;
const reservation = await cache.reserve(order.tokens, lapseMs === undefined ? {} : { lapseMs });
session.on('promiseCut', ({ leftBytes, reason }) => {
  process.send?.({ kind: 'cut', left: Number(leftBytes), reason });
});
let slot = -1;
if (order.prompt > 0) {
  slot = await cache.allocate(order.prompt, { reservation });
  cache.writeTokens(slot, 0, rows(0, order.prompt, 1));
}
process.send?.({ kind: 'ready', promised: Number(reservation.bytes) });

async function grow(to: number): Promise<void> {
  const length = await decode(cache, slot, to, 1);
  const intact = sameBytes(cache.readTokens(slot, 0, length), rows(0, length, 1));
  process.send?.({ kind: 'grown', length, intact, promised: Number(reservation.bytes) });
}

process.on('message', message => {
  if (typeof message === 'number') void grow(message);
});
process.once('disconnect', () => process.exit(0));
