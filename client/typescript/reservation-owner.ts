/** What reservations see of their session and of its caches. */
import type { PromiseCut } from './events.js';
import type { Link } from './link.js';
import type { SpanNeed } from './span-need.js';

/** A cache, as its reservations see it. */
export interface ReservedCache {
  readonly cacheId: bigint;
  readonly closed: boolean;
  readonly overreadTokens: number;
  readonly lookaheadTokens: number;
  readonly need: SpanNeed;
  length(slot: number): number;
  mappedTokens(slot: number): number;
  /** Tells the native core. */
  promised(slot: number, promised: boolean): void;
}

export interface ReservationOwner {
  readonly link: Link | null;
  readonly pageBytes: bigint;
  newId(): bigint;
  /** Out of a promise; resolves once the memory is in the magazine. */
  draw(counts: readonly number[], promiseId: bigint, limitMs: number): Promise<void>;
  /** So much more of the magazine, or less, is for slots with a promise. */
  keep(bytes: bigint): void;
  unkeep(bytes: bigint): void;
  cut(event: PromiseCut): void;
}
