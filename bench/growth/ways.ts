/** The ways of having memory before each decode step, behind one interface. */
import type { Cache, CacheOptions, Session } from '../../client/typescript/index.js';
import { type DeviceOptions, loadNative, type RawDevice } from '../../native/index.js';
import { growthExtents, orderCounts } from '../allocator/plan.js';
import { BlockAllocator } from '../memory/block-allocator.js';
import { AheadThread } from './ahead.js';
import { freshPages, LayeredBuffers } from './layered-buffers.js';
import { acquireAll, giveAllBack } from './magazine.js';
import type { GrowthWorkload } from './workload.js';

export interface Way {
  readonly name: string;
  /** A batch of these lengths, mapped. */
  begin(lengths: readonly number[]): Promise<void>;
  /**
   * Every request gets a token; returns when all have memory. True: work for later was begun in the
   * background, which the forward pass now gives time to.
   */
  step(lengths: Int32Array): boolean | Promise<boolean>;
  /** The batch has ended. */
  end(): Promise<void>;
  close(): Promise<void>;
}

export interface Bed {
  /** With no marks; and with the marks and the mapper of an engine. */
  readonly session: Session;
  readonly engine: Session;
  readonly device: DeviceOptions;
  readonly workload: GrowthWorkload;
}

const PATIENCE = { waitMs: 60_000 } as const;
const BLOCK_TOKENS = 16;

/** The longest that a request of the batch becomes. */
const longestOf = ({ decode, laneTokens }: GrowthWorkload): number =>
  decode.baseTokens + laneTokens + decode.steps;

/** kvspan; `ahead`: with the marks and the look-ahead of an engine, else from a prepared magazine. */
export class SpanWay implements Way {
  readonly name: string;
  readonly #bed: Bed;
  readonly #growth: 'geometric' | 'linear';
  readonly #ahead: boolean;
  #cache: Cache | null = null;

  constructor(bed: Bed, growth: 'geometric' | 'linear', ahead: boolean) {
    this.name = `kvspan ${growth}, ${ahead ? 'mapped ahead' : 'from the magazine'}`;
    this.#bed = bed;
    this.#growth = growth;
    this.#ahead = ahead;
  }

  async begin(lengths: readonly number[]): Promise<void> {
    const { workload } = this.#bed;
    const options: CacheOptions = {
      ...workload.geometry,
      slots: lengths.length,
      maxTokens: longestOf(workload),
      growth: this.#growth,
      ...(this.#ahead ? {} : { lookaheadTokens: 0 }),
      name: 'bench-decode',
    };
    this.#cache = await this.#session.createCache(options);
    for (const tokens of lengths) await this.#cache.allocate(tokens, PATIENCE);
    if (!this.#ahead) await this.#fillMagazine(lengths);
  }

  async step(lengths: Int32Array): Promise<boolean> {
    const cache = this.#cache as Cache;
    const { outcome } = cache.tryStep(lengths);
    if (outcome !== 'short') return outcome === 'ahead';
    const { shortSlots } = await cache.step(lengths, PATIENCE);
    if (shortSlots.length > 0) throw new Error('growth bench: the pool is too small for the batch');
    return false;
  }

  async end(): Promise<void> {
    await this.#cache?.close();
    await giveAllBack(this.#session);
  }

  async close(): Promise<void> {}

  get #session(): Session {
    return this.#ahead ? this.#bed.engine : this.#bed.session;
  }

  /** The extents that the batch will take on its way. */
  async #fillMagazine(lengths: readonly number[]): Promise<void> {
    const { tokenBytes, decode } = this.#bed.workload;
    const grown = lengths.flatMap(tokens => {
      const first = growthExtents(tokens * tokenBytes, 'linear').length;
      const last = (tokens + decode.steps) * tokenBytes;
      return growthExtents(last, this.#growth, first);
    });
    await acquireAll(this.#session, orderCounts(grown));
  }
}

/** Per-layer pages, created, mapped and given access when a request crosses into them. */
export class LayeredWay implements Way {
  readonly name = 'per-layer 2 MiB pages, synchronous';
  readonly #workload: GrowthWorkload;
  readonly #device: RawDevice;
  readonly #buffers: LayeredBuffers;

  constructor({ device, workload }: Bed) {
    this.#workload = workload;
    this.#device = loadNative().openRawDevice(device);
    this.#buffers = new LayeredBuffers(this.#device, freshPages(this.#device), {
      lanes: workload.lanes,
      slots: workload.decode.batch,
      pagesPerSlot: pagesOf(longestOf(workload), workload),
    });
  }

  async begin(lengths: readonly number[]): Promise<void> {
    for (const [slot, tokens] of lengths.entries()) {
      this.#buffers.shrink(slot, pagesOf(tokens, this.#workload));
      this.#buffers.grow(slot, pagesOf(tokens, this.#workload));
    }
  }

  step(lengths: Int32Array): boolean {
    const { laneTokens } = this.#workload;
    for (const [slot, tokens] of lengths.entries()) {
      if (tokens > this.#buffers.pagesOf(slot) * laneTokens)
        this.#buffers.grow(slot, this.#buffers.pagesOf(slot) + 1);
    }
    return false;
  }

  async end(): Promise<void> {}

  async close(): Promise<void> {
    this.#buffers.close();
    this.#device.close();
  }
}

/** The same in a thread of its own, a step ahead, from pages created beforehand. */
export class LayeredAheadWay implements Way {
  readonly name = 'per-layer 2 MiB pages, a thread ahead';
  readonly #bed: Bed;
  #thread: AheadThread | null = null;
  #pages: number[] = [];

  constructor(bed: Bed) {
    this.#bed = bed;
  }

  async begin(lengths: readonly number[]): Promise<void> {
    const { workload, device } = this.#bed;
    const firstPages = lengths.map(tokens => pagesOf(tokens, workload));
    this.#pages = [...firstPages];
    if (this.#thread !== null) return this.#thread.reset();
    this.#thread = await AheadThread.start({
      device,
      lanes: workload.lanes,
      slots: lengths.length,
      pagesPerSlot: pagesOf(longestOf(workload), workload),
      firstPages,
    });
  }

  step(lengths: Int32Array): boolean {
    const { laneTokens } = this.#bed.workload;
    const thread = this.#thread as AheadThread;
    thread.wait();
    const due: number[] = [];
    for (const [slot, tokens] of lengths.entries()) {
      if (tokens + 1 <= (this.#pages[slot] as number) * laneTokens) continue;
      (this.#pages[slot] as number)++;
      due.push(slot);
    }
    if (due.length > 0) thread.grow(due);
    return due.length > 0;
  }

  async end(): Promise<void> {
    this.#thread?.wait();
  }

  async close(): Promise<void> {
    await this.#thread?.close();
    this.#thread = null;
  }
}

/** A paged allocator: a block more in the table of each request that crosses. */
export class BlockWay implements Way {
  readonly name = 'block table, blocks of 16';
  readonly #workload: GrowthWorkload;
  #allocator: BlockAllocator;
  #requests: number[] = [];
  readonly #lengths = new Map<number, number>();

  constructor({ workload }: Bed) {
    this.#workload = workload;
    this.#allocator = this.#fresh();
  }

  async begin(lengths: readonly number[]): Promise<void> {
    this.#allocator = this.#fresh();
    this.#lengths.clear();
    this.#requests = lengths.map(tokens => this.#allocator.admit(tokens) as number);
  }

  step(lengths: Int32Array): boolean {
    for (const [slot, tokens] of lengths.entries())
      this.#lengths.set(this.#requests[slot] as number, tokens);
    this.#allocator.grow(this.#lengths);
    return false;
  }

  async end(): Promise<void> {}
  async close(): Promise<void> {}

  #fresh(): BlockAllocator {
    const { geometry, tokenBytes, decode } = this.#workload;
    const tokens = longestOf(this.#workload) * decode.batch;
    return new BlockAllocator({ ...geometry, poolBytes: tokens * tokenBytes }, BLOCK_TOKENS);
  }
}

const pagesOf = (tokens: number, workload: GrowthWorkload): number =>
  Math.ceil(tokens / workload.laneTokens);
