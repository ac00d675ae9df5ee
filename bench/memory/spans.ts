/**
 * kvspan itself: a cache of a real session with a real daemon, token-major. The pool is this
 * session's alone, so it never waits for memory of others. Short of memory it first gives back what
 * it has to spare, as an engine would (the magazine, warm spans, what is mapped past live requests),
 * and tries once more.
 */
import type { Cache, Session, WaitOptions } from '../../client/typescript/index.js';
import { isMemoryShortage } from '../demo/cache.js';
import type { MemoryManager, MemoryShape, MemoryStats, RequestHandle } from './manager.js';

/** Once memory was given back, its way through the daemon's books is waited for. */
const SHORT_WAIT = { waitMs: 5 } as const;
const NO_WAIT = { waitMs: 0 } as const;
/** More than there is. */
const EVERYTHING = 2n ** 62n;

export class Spans implements MemoryManager {
  readonly name: string;
  readonly #session: Session;
  readonly cache: Cache;
  readonly #lengths: Int32Array;

  private constructor(name: string, session: Session, cache: Cache, slots: number) {
    this.name = name;
    this.#session = session;
    this.cache = cache;
    this.#lengths = new Int32Array(slots);
  }

  /** The session is closed with it. */
  static async open(
    session: Session,
    shape: MemoryShape,
    growth: 'geometric' | 'linear',
  ): Promise<Spans> {
    const { layers, kvHeads, headDim, dtype, maxTokens, batchMax: slots } = shape;
    const cache = await session.createCache({
      layers,
      kvHeads,
      headDim,
      dtype,
      maxTokens,
      slots,
      growth,
      name: 'bench-memory',
    });
    return new Spans(`kvspan token-major, ${growth}`, session, cache, slots);
  }

  async admit(tokens: number): Promise<RequestHandle | null> {
    const slot =
      (await this.#allocate(tokens, NO_WAIT)) ??
      (await this.#again(() => this.#allocate(tokens, SHORT_WAIT)));
    if (slot !== null) this.#lengths[slot] = tokens;
    return slot;
  }

  async grow(lengths: ReadonlyMap<RequestHandle, number>): Promise<readonly RequestHandle[]> {
    for (const [slot, tokens] of lengths) this.#lengths[slot] = tokens;
    // What needs no refill needs no promise either.
    if (this.cache.tryStep(this.#lengths).outcome !== 'short') return [];
    const short = await this.#step();
    if (short.length === 0) return [];
    const left = (await this.#again(() => this.#step())) ?? short;
    for (const slot of left) this.#lengths[slot] = this.cache.length(slot);
    return left;
  }

  async #step(): Promise<readonly RequestHandle[]> {
    return (await this.cache.step(this.#lengths, SHORT_WAIT)).shortSlots;
  }

  async #allocate(tokens: number, wait: WaitOptions): Promise<RequestHandle | null> {
    try {
      return await this.cache.allocate(tokens, wait);
    } catch (error) {
      if (isMemoryShortage(error)) return null;
      throw error;
    }
  }

  /** Null: there was nothing to give back, so trying again would change nothing. */
  async #again<T>(attempt: () => Promise<T>): Promise<T | null> {
    return (await this.#session.giveBack(EVERYTHING)) === 0n ? null : attempt();
  }

  free(slot: RequestHandle): void {
    this.cache.free(slot);
    this.#lengths[slot] = 0;
  }

  /** What the session holds and no request uses is idle: warm spans, and the magazine. */
  stats(): MemoryStats {
    const { mappedBytes, idleBytes, liveBytes } = this.cache.stats();
    const usedBytes = Number(mappedBytes - idleBytes);
    return {
      liveBytes: Number(liveBytes),
      usedBytes,
      idleBytes: Number(this.#session.stats().heldBytes) - usedBytes,
    };
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}
