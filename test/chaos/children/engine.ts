/**
 * A serving process that works without end: every session of it allocates, grows, writes, reads back
 * what it wrote and frees. It can be told to pause, and then says what it holds.
 */
import type { Cache, Session } from '../../../client/typescript/index.js';
import { connectTo, rows, sameBytes, SMALL } from '../../client/support.js';
import type { EngineOrder, EngineReport } from '../engines.js';

const SLOTS = 3;
const TOKENS_MAX = 900;
const order = JSON.parse(process.argv[2] ?? '{}') as EngineOrder;

class Worker {
  readonly #live = new Map<number, number>();
  passes = 0;
  wrong = 0;
  adopted = 0;
  idle = false;

  constructor(
    readonly session: Session,
    private readonly cache: Cache,
  ) {
    session.on('reconnected', ({ adoptedBytes }) => {
      this.adopted = Number(adoptedBytes);
    });
  }

  /** What cannot be had now, with or without a daemon, is tried again in the next pass. */
  async pass(): Promise<void> {
    const tokens = 1 + Math.floor(Math.random() * TOKENS_MAX);
    const slot =
      this.#live.size < SLOTS
        ? await this.cache.allocate(tokens, { waitMs: 20 }).catch(() => -1)
        : -1;
    if (slot >= 0) {
      this.cache.writeTokens(slot, 0, rows(0, tokens, slot));
      this.#live.set(slot, tokens);
    }
    await this.#grow();
    this.#check();
    if (Math.random() < 0.2) this.#freeOne();
    if (Math.random() < 0.1) await this.session.giveBack(2n * 1024n * 1024n);
    this.passes++;
  }

  async #grow(): Promise<void> {
    const wanted = new Map([...this.#live].map(([slot, length]) => [slot, length + 8]));
    const { shortSlots } = await this.cache.step(wanted, { waitMs: 20 });
    for (const [slot, length] of wanted) {
      if (shortSlots.includes(slot)) continue;
      this.cache.writeTokens(slot, length - 8, rows(length - 8, 8, slot));
      this.#live.set(slot, length);
    }
  }

  #check(): void {
    for (const [slot, length] of this.#live) {
      const first = Math.floor(Math.random() * length);
      const count = Math.min(32, length - first);
      const read = this.cache.readTokens(slot, first, count);
      if (!sameBytes(read, rows(first, count, slot))) this.wrong++;
    }
  }

  #freeOne(): void {
    const [slot] = this.#live.keys();
    if (slot === undefined) return;
    this.cache.free(slot);
    this.#live.delete(slot);
  }
}

const workers: Worker[] = [];
let paused: Promise<void> | null = null;
let resume: () => void = () => undefined;

async function work(worker: Worker): Promise<void> {
  for (;;) {
    worker.idle = paused !== null;
    await paused;
    worker.idle = false;
    await worker.pass();
    // Others of this process have their turn, and messages are heard.
    await new Promise(setImmediate);
  }
}

const report = (): EngineReport => ({
  passes: workers.map(({ passes }) => passes),
  wrong: workers.reduce((sum, { wrong }) => sum + wrong, 0),
  held: workers.map(({ session }) => Number(session.stats().heldBytes)),
  reconnects: workers.map(({ session }) => session.stats().reconnects),
  adopted: workers.map(({ adopted }) => adopted),
  paused: workers.every(({ idle }) => idle),
  connected: workers.every(({ session }) => session.state === 'connected'),
  settled: workers.every(({ session }) => session.stats().requestsInFlight === 0),
});

process.on('message', what => {
  if (what === 'pause') paused ??= new Promise(done => (resume = done));
  if (what === 'go') {
    paused = null;
    resume();
  }
  if (what === 'report') process.send?.(report());
  if (what === 'close')
    void Promise.all(workers.map(({ session }) => session.close())).then(() => process.exit(0));
});
process.once('disconnect', () => process.exit(0));

for (let count = 0; count < order.sessions; count++) {
  const session = await connectTo(order.directory, { name: order.name, connectTimeoutMs: 20_000 });
  const worker = new Worker(session, await session.createCache({ ...SMALL, slots: SLOTS }));
  workers.push(worker);
  void work(worker);
}
process.send?.('ready');
