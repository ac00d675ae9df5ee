/**
 * A serving process that stops itself in the middle of a large grant, as one does that is swapped
 * out or held by a debugger. It must be woken by somebody else; it then reports how it fared.
 */
import { PAGE } from '../../support/daemon.js';
import { connectTo, decode, rows, sameBytes, SMALL, TOKENS_PER_PAGE } from '../support.js';

interface Order {
  readonly directory: string;
  /** Extents of the large grant, a page each. */
  readonly extents: number;
}

const TOKENS = 2 * TOKENS_PER_PAGE;
const SEED = 3;

const order = JSON.parse(process.argv[2] ?? '{}') as Order;
const session = await connectTo(order.directory, { name: 'sleeper' });
const cache = await session.createCache(SMALL);
const closedAway = await session.createCache({ ...SMALL, name: 'closed while away' });
const slot = await cache.allocate(TOKENS);
cache.writeTokens(slot, 0, rows(0, TOKENS, SEED));
const intact = (tokens: number) =>
  sameBytes(cache.readTokens(slot, 0, tokens), rows(0, tokens, SEED));
const first = { id: session.id, base: cache.plan.baseAddress, held: session.stats().heldBytes };

/** Within what is mapped a step needs nobody; memory is given back, though nobody can be told. */
async function whileAway() {
  const { outcome } = cache.tryStep(new Map([[slot, TOKENS]]));
  const seen = { state: session.state, outcome, intact: intact(TOKENS) };
  const closing = closedAway.close();
  const released = await session.giveBack(PAGE);
  await closing;
  return { ...seen, released: Number(released) };
}

const away = new Promise<Awaited<ReturnType<typeof whileAway>>>(resolve => {
  const stop = session.on('disconnected', () => {
    stop();
    resolve(whileAway());
  });
});
const back = new Promise<number>(resolve => {
  session.on('reconnected', ({ adoptedBytes }) => resolve(Number(adoptedBytes)));
});

const grant = session.acquire([order.extents], { waitMs: 20_000 }).then(
  () => 'met',
  error => (error as { code: string }).code,
);
// Some of it has arrived and the rest is still to come: this is the middle.
while (session.stats().heldBytes === first.held) await new Promise(setImmediate);
process.kill(process.pid, 'SIGSTOP');

const met = await away;
const adopted = await back;
const outcome = await grant;
const grown = await decode(cache, slot, 4 * TOKENS, SEED);
const other = await cache.allocate(TOKENS);
process.send?.({
  away: met,
  outcome,
  adopted,
  intact: intact(grown),
  grown: grown === 4 * TOKENS && other >= 0,
  sameBase: cache.plan.baseAddress === first.base,
  sameSession: session.id === first.id,
  heldBefore: Number(first.held),
  held: Number(session.stats().heldBytes),
  extents: session.extents().length,
});
process.on('message', () => void session.close().then(() => process.disconnect()));
