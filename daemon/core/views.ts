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
  readonly state: SessionState;
  readonly openedAt: Instant;
  readonly heldBytes: Bytes;
  readonly limitBytes: Bytes;
  readonly extentCount: number;
  readonly cacheCount: number;
  readonly waitingGrantCount: number;
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
  readonly freeBytes: Bytes;
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
}

export interface Returned {
  readonly extentCount: number;
  readonly returnedBytes: Bytes;
  readonly heldBytes: Bytes;
}
