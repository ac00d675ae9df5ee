import type { SessionCache } from './cache.js';
import type { GrantWish } from './grants.js';
import type { PromiseRequest } from './link.js';
import type { Reservations } from './reservations.js';

/** What a cache needs of its session. */
export interface CacheOwner {
  readonly backend: 'host' | 'cuda';
  readonly pageBytes: bigint;
  readonly grantWaitMs: number;
  readonly connected: boolean;
  /** Grants asked for by anybody of the session and not settled. */
  readonly grantsInFlight: number;
  /** Resolves once the memory is in the magazine. */
  fetch(wish: GrantWish): Promise<void>;
  /** For a step's refill, which outlives the step that began it. */
  fetchUnhurried(wish: GrantWish): Promise<void>;
  readonly reservations: Reservations;
  /** In line at the daemon. */
  reserve(request: Omit<PromiseRequest, 'promiseId'>): Promise<{ id: bigint; bytes: bigint }>;
  /** Tells the daemon, if it is there. */
  cacheClosed(cache: SessionCache): Promise<void>;
}
