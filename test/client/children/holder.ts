/**
 * A serving process that does as it is told: it connects, fills `slots` slots of `tokens` tokens,
 * frees those of them it is told to, and reports what it holds.
 */
import { connectTo, rows, sameBytes, SMALL } from '../support.js';

interface Order {
  /** What it calls itself. */
  readonly name?: string;
  readonly directory: string;
  readonly slots: number;
  readonly tokens: number;
  /** How many of the slots are freed again: idle, still mapped. */
  readonly idle: number;
  /** How long each of them may wait for its memory. */
  readonly waitMs?: number;
}

const order = JSON.parse(process.argv[2] ?? '{}') as Order;
const session = await connectTo(order.directory, { name: order.name ?? 'holder' });
const cache = await session.createCache(SMALL);
const slots: number[] = [];
for (let count = 0; count < order.slots; count++) {
  const { waitMs } = order;
  const slot = await cache.allocate(order.tokens, waitMs === undefined ? {} : { waitMs });
  cache.writeTokens(slot, 0, rows(0, order.tokens, slot));
  slots.push(slot);
}
for (const slot of slots.splice(0, order.idle)) cache.free(slot);
session.on('reclaim', ({ wantedBytes, returnedBytes, shortfallBytes, idleOnly }) => {
  process.send?.({
    kind: 'reclaim',
    wanted: Number(wantedBytes),
    returned: Number(returnedBytes),
    shortfall: Number(shortfallBytes),
    idleOnly,
  });
});
process.send?.({ kind: 'ready', held: Number(session.stats().heldBytes) });

function check(): void {
  const intact = slots.every(slot =>
    sameBytes(cache.readTokens(slot, 0, order.tokens), rows(0, order.tokens, slot)),
  );
  process.send?.({ kind: 'checked', intact, held: Number(session.stats().heldBytes) });
}

process.on('message', message => {
  if (message === 'check') check();
  if (message === 'close') void session.close().then(() => process.disconnect());
});
process.once('disconnect', () => process.exit(0));
