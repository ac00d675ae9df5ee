/** The memory at the moment when most tokens were live, and what others would have needed then. */
import type { EngineCache } from './cache.js';
import { lengthOf, type Running } from './scheduler.js';

/** Looking costs some microseconds, so not every pass is looked at. */
const SAMPLE_EVERY_PASSES = 4;
/** The block of the paged caches that kvspan is compared with, in tokens. */
export const BLOCK_TOKENS = 16;

export class MemoryPeak {
  /** The most that was mapped at any moment, freed spans that are kept warm included. */
  mappedBytes = 0;
  /** Tokens of live requests, at the moment when they were most. */
  liveBytes = 0;
  /** Mapped behind those requests, at that moment. */
  behindLiveBytes = 0;
  /** Freed spans at that moment: kept for the next request and given up on demand. */
  idleBytes = 0;
  /** The same tokens in blocks of BLOCK_TOKENS, the last of each request partly empty. */
  blocksBytes = 0;
  liveRequests = 0;
  readonly tokenBytes: number;

  constructor(tokenBytes: number) {
    this.tokenBytes = tokenBytes;
  }

  /** Called when the cache's lengths are those of `running`. */
  sample(cache: EngineCache, running: readonly Running[], pass: number): void {
    if (pass % SAMPLE_EVERY_PASSES !== 0) return;
    const stats = cache.stats();
    const live = Number(stats.liveBytes);
    this.mappedBytes = Math.max(this.mappedBytes, Number(stats.mappedBytes));
    if (live <= this.liveBytes) return;
    this.liveBytes = live;
    this.idleBytes = Number(stats.idleBytes);
    this.behindLiveBytes = Number(stats.mappedBytes) - this.idleBytes;
    this.liveRequests = running.length;
    const blocks = running.reduce(
      (sum, request) => sum + Math.ceil(lengthOf(request) / BLOCK_TOKENS),
      0,
    );
    this.blocksBytes = blocks * BLOCK_TOKENS * this.tokenBytes;
  }

  /** Of the memory behind live requests, the share that holds no token. */
  get slackShare(): number {
    return this.behindLiveBytes === 0 ? 0 : 1 - this.liveBytes / this.behindLiveBytes;
  }
}
