/** What the ledger is asked and what it shows: plain data. */
import type {
  Bytes,
  CacheGeometry,
  CacheId,
  CachePlan,
  GrantId,
  Instant,
  OrderCounts,
  Peer,
  SessionId,
} from './types.js';

export type SessionState = 'open' | 'lingering';

export interface SessionView {
  readonly id: SessionId;
  readonly peer: Peer;
  readonly tenant: string;
  readonly state: SessionState;
  /** It is `lingering`, may only give back, and keeps its process out. */
  readonly evicted: boolean;
  readonly openedAt: Instant;
  readonly heldBytes: Bytes;
  /** Of these: granted, and not known to have arrived. */
  readonly inFlightBytes: Bytes;
  readonly limitBytes: Bytes;
  readonly extentCount: number;
  readonly cacheCount: number;
  readonly waitingGrantCount: number;
  /** Kept free for it by promise, beside what it holds. */
  readonly promisedBytes: Bytes;
  readonly promiseCount: number;
  /** How often it did not bring by the deadline what another tenant's guarantee needed. */
  readonly overdueCount: number;
  /** It has not brought it yet, and is served after all others. */
  readonly servedLast: boolean;
}

export interface TenantView {
  readonly name: string;
  readonly guaranteedBytes: Bytes;
  readonly limitBytes: Bytes;
  readonly weight: number;
  readonly held: boolean;
  readonly heldBytes: Bytes;
  /** Kept free for its sessions by promise. */
  readonly promisedBytes: Bytes;
  /** Of what it holds and is promised: above its guarantee. */
  readonly borrowedBytes: Bytes;
  /** Of what it holds: by evicted sessions. */
  readonly evictedBytes: Bytes;
  readonly sessionCount: number;
  readonly waitingGrantCount: number;
  readonly overdueCount: number;
}

export interface TenantsView {
  readonly revision: bigint;
  readonly tenants: readonly TenantView[];
}

export interface TenantChange {
  readonly name: string;
  /** That of the `TenantsView` which the change is based on. */
  readonly revision: bigint;
  readonly guaranteedBytes: Bytes;
  readonly limitBytes: Bytes;
  readonly weight: number;
  readonly held: boolean;
}

export interface CacheView {
  readonly id: CacheId;
  readonly session: SessionId;
  readonly name: string;
  readonly geometry: CacheGeometry;
  readonly plan: CachePlan;
}

export interface PoolView {
  readonly poolBytes: Bytes;
  readonly usedBytes: Bytes;
  /** Not in use; what of it is promised is not to be had by others. */
  readonly freeBytes: Bytes;
  readonly promisedBytes: Bytes;
  readonly extentCount: number;
  readonly sessionCount: number;
  readonly cacheCount: number;
  readonly waitingGrantCount: number;
  readonly waitingBytes: Bytes;
  readonly grantedCount: bigint;
  readonly refusedCount: bigint;
  readonly grantedBytes: Bytes;
  readonly returnedBytes: Bytes;
}

export interface GrantRequest {
  readonly grant: GrantId;
  readonly counts: OrderCounts;
  /** 0: all or nothing. */
  readonly minimumBytes: Bytes;
  readonly waitMs: number;
  /** To be met out of this promise of the session's, at once; null: as any other. */
  readonly promise?: GrantId | null;
}

/** Memory for one slot of a cache to grow to `tokens`. */
export interface ReserveRequest {
  readonly promise: GrantId;
  readonly cache: CacheId;
  readonly tokens: number;
  /** Mapped past the length, for kernels that read whole tiles. */
  readonly overreadTokens: number;
  /** What the slot has already. */
  readonly mappedBytes: Bytes;
  readonly waitMs: number;
  /** Ends so long after it was made, used or renewed last. */
  readonly lapseMs: number;
}

export interface Returned {
  readonly extentCount: number;
  readonly returnedBytes: Bytes;
  readonly heldBytes: Bytes;
}
