/**
 * A TypeScript client that works beside a Python one: it fills slots with rows that only it knows,
 * grows them, and says whether they are still what it wrote. Lines of JSON in and out.
 */
import { createInterface } from 'node:readline';
import { type Cache, connect } from '../../../client/typescript/index.js';

const LAYERS = 4;
const WIDTH = 512;
const TOKEN_WORDS = LAYERS * 2 * WIDTH;

interface Order {
  readonly order: 'fill' | 'grow' | 'check' | 'free' | 'close';
  readonly slots?: number;
  readonly tokens?: number;
}

/** Rows as test/python/support.py makes them. */
function rows(tokens: number, seed: number): Uint8Array {
  const words = new Uint32Array(tokens * TOKEN_WORDS);
  for (let token = 0; token < tokens; token++) {
    const mixed = Math.imul(token ^ (seed << 16), 2654435761);
    for (let place = 0; place < TOKEN_WORDS; place++)
      words[token * TOKEN_WORDS + place] = mixed + place;
  }
  return new Uint8Array(words.buffer);
}

const directory = process.argv[2] ?? '';
const session = await connect({
  socketDirectory: directory,
  lowWaterBytes: 0n,
  highWaterBytes: 0n,
  grantWaitMs: 2_000,
});
const cache: Cache = await session.createCache({
  layers: LAYERS,
  kvHeads: 8,
  headDim: 64,
  dtype: 'fp32',
  slots: 8,
  maxTokens: 4096,
  lookaheadTokens: 0,
});
const held = new Map<number, number>();

async function fill(slots: number, tokens: number): Promise<void> {
  for (let count = 0; count < slots; count++) {
    const slot = await cache.allocate(tokens);
    cache.writeTokens(slot, 0, rows(tokens, 100 + slot));
    held.set(slot, tokens);
  }
}

async function grow(tokens: number): Promise<readonly number[]> {
  const wanted = new Map([...held.keys()].map(slot => [slot, tokens]));
  const { shortSlots } = await cache.step(wanted);
  for (const slot of held.keys()) {
    held.set(slot, cache.length(slot));
    cache.writeTokens(slot, 0, rows(cache.length(slot), 100 + slot));
  }
  return shortSlots;
}

const intact = (): boolean =>
  [...held].every(
    ([slot, tokens]) =>
      Buffer.compare(cache.readTokens(slot, 0, tokens), rows(tokens, 100 + slot)) === 0,
  );

function freeAll(): void {
  for (const slot of held.keys()) cache.free(slot);
  held.clear();
}

const obey: Record<Order['order'], (order: Order) => unknown> = {
  fill: ({ slots = 1, tokens = 1 }) => fill(slots, tokens),
  grow: ({ tokens = 1 }) => grow(tokens),
  check: intact,
  free: freeAll,
  close: () => session.close(),
};

const say = (message: unknown): boolean => process.stdout.write(`${JSON.stringify(message)}\n`);
say({ base: Number(cache.plan.baseAddress), rowBytes: cache.rowBytes });
for await (const line of createInterface(process.stdin)) {
  const order = JSON.parse(line) as Order;
  const answer = (await obey[order.order](order)) ?? null;
  say({ answer, held: order.order === 'close' ? 0 : Number(session.stats().heldBytes) });
}
