/**
 * A process that asks in a loop, many times at once, and gives back at once what it gets. Arguments: the
 * socket directory, how many askings at once. Says `asking`.
 */
import { connectTo } from '../../client/support.js';

const [directory = '', lanes = '1'] = process.argv.slice(2);
const session = await connectTo(directory, { name: 'beggar' });
process.once('disconnect', () => process.exit(0));
process.send?.('asking');

async function beg(): Promise<never> {
  for (;;) {
    await session.acquire([1], { waitMs: 1_000 }).catch(() => undefined);
    await session.giveBack(2n * 1024n * 1024n).catch(() => undefined);
  }
}
for (let lane = 0; lane < Number(lanes); lane++) void beg();
