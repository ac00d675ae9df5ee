/** A serving process that allocates, grows, writes, frees and returns without end, until it is killed. */
import { connect } from '../../../client/typescript/index.js';
import { rows, SMALL } from '../support.js';

const directory = process.argv[2] as string;
const session = await connect({ socketDirectory: directory, name: 'churner', grantWaitMs: 20 });
const cache = await session.createCache({ ...SMALL, lookaheadTokens: 64 });
const live = new Map<number, number>();
process.send?.('ready');
process.once('disconnect', () => process.exit(0));

for (let turn = 0; ; turn++) {
  if (live.size < SMALL.slots && turn % 3 === 0) {
    const tokens = 1 + Math.floor(Math.random() * 900);
    const slot = await cache.allocate(tokens).catch(() => -1);
    if (slot >= 0) live.set(slot, tokens);
  }
  const wanted = new Map(
    [...live].map(([slot, length]) => [slot, Math.min(SMALL.maxTokens, length + 40)]),
  );
  const { shortSlots } = await cache.step(wanted);
  for (const [slot, length] of wanted) if (!shortSlots.includes(slot)) live.set(slot, length);
  for (const [slot, length] of live) {
    cache.writeTokens(slot, length - 1, rows(length - 1, 1, slot));
    if (Math.random() < 0.15 || length >= 3000) {
      cache.free(slot);
      live.delete(slot);
    }
  }
  if (turn % 10 === 0) await session.giveBack(4n * 1024n * 1024n);
}
