/**
 * The nouns of the daemon's core. Ids and sizes are branded, so that a count is never taken for a
 * size nor one id for another; the only conversions stand at the end of this file.
 */

export type { CacheGeometry, Dtype, Layout } from '../../proto/domain.js';

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

export type Bytes = Branded<bigint, 'Bytes'>;
export type Address = Branded<bigint, 'Address'>;
export type SessionId = Branded<bigint, 'SessionId'>;
export type CacheId = Branded<bigint, 'CacheId'>;
export type ExtentId = Branded<bigint, 'ExtentId'>;
/** Chosen by the client; unique among a session's grants in flight and promises. */
export type GrantId = Branded<bigint, 'GrantId'>;
/** Milliseconds on the daemon's monotonic clock. */
export type Instant = Branded<number, 'Instant'>;

export const PAGE_BYTES = 2n * 1024n * 1024n;
/** Extents are 2^0 .. 2^9 pages: 2 MiB .. 1 GiB. */
export const EXTENT_ORDER_MAX = 9;
export const UINT64_MAX = 2n ** 64n - 1n;

/** The address of token t of slot s in lane l: base + l * laneStride + s * slotStride + t * row. */
export interface CachePlan {
  readonly baseAddress: Address;
  readonly totalBytes: Bytes;
  readonly laneCount: number;
  readonly rowBytes: Bytes;
  /** A whole number of rows and of pages. */
  readonly slotStrideBytes: Bytes;
  readonly laneStrideBytes: Bytes;
}

/** Who is at the other end, as the kernel says. */
export interface Peer {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** The client's own name for itself: for people, and to tell tenants of one user apart. */
  readonly name: string;
}

/** How many extents of each order; index = order, 0 .. EXTENT_ORDER_MAX. */
export type OrderCounts = readonly number[];

export interface ExtentSpec {
  readonly id: ExtentId;
  readonly bytes: Bytes;
}

/** What the world must do after a decision; the core itself does nothing. */
export type Effect =
  /** Create these extents and send them; answer with `Ledger.grantSettled`. */
  | {
      readonly kind: 'grant';
      readonly session: SessionId;
      readonly grant: GrantId;
      readonly extents: readonly ExtentSpec[];
    }
  /** A session did not bring by the deadline what a guarantee needed: it is served last. */
  | {
      readonly kind: 'overdue';
      readonly session: SessionId;
      readonly reclaim: bigint;
      readonly wantedBytes: Bytes;
      readonly missingBytes: Bytes;
      /** Until it holds no more than this. */
      readonly levelBytes: Bytes;
    }
  /** A waiting grant will not be met: tell its session. */
  | {
      readonly kind: 'refuse';
      readonly session: SessionId;
      readonly grant: GrantId;
      readonly error: import('../../proto/errors.js').KvspanError;
    }
  /** Ask a session to give memory back. */
  | {
      readonly kind: 'reclaim';
      readonly session: SessionId;
      readonly reclaim: bigint;
      readonly wantedBytes: Bytes;
      readonly deadline: Instant;
      /** Only what lies idle: the session is within its share, and nobody's requests are to end. */
      readonly idleOnly: boolean;
    }
  /** A promise was made: whoever asked for it gets the answer. */
  | {
      readonly kind: 'promised';
      readonly session: SessionId;
      readonly promise: GrantId;
      readonly bytes: Bytes;
    }
  /** A promise is less than its session thinks: nothing is left of one that ended. */
  | {
      readonly kind: 'cut';
      readonly session: SessionId;
      readonly promise: GrantId;
      readonly leftBytes: Bytes;
      readonly reason: CutReason;
    };

/** Its time was over; a guarantee needed what was borrowed; its tenant's entitlement was lowered. */
export type CutReason = 'lapsed' | 'guarantee' | 'entitlement';

/** A tenant as the configuration has it: who it is, and what it is entitled to at the start. */
export interface TenantSpec {
  readonly name: string;
  /** Whoever belongs to no other tenant by user or group. */
  readonly everybody: boolean;
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  /** Users who are in these groups without having them as their own. */
  readonly memberUids: readonly number[];
  /**
   * Only clients that give one of these names; empty: all of them. A client chooses its name, so
   * this tells apart only processes that trust each other anyway, those of one user or group.
   */
  readonly clients: readonly string[];
  /** Always to be had, if need be by taking back what others borrowed. */
  readonly guaranteedBytes: Bytes;
  /** Never passed; the pool's size: no limit. */
  readonly limitBytes: Bytes;
  /** Its share of what is above all guarantees, against the others'. */
  readonly weight: number;
  /** The guarantee is never lent. */
  readonly held: boolean;
}

export interface Limits {
  readonly poolBytes: Bytes;
  /** None: everybody is of one tenant that has no guarantee and no limit. */
  readonly tenants: readonly TenantSpec[];
  readonly sessionLimitBytes: Bytes;
  readonly sessionsMax: number;
  readonly cachesPerSessionMax: number;
  readonly grantsInFlightMax: number;
  readonly extentsPerGrantMax: number;
  /** The longest a grant may wait. */
  readonly grantWaitMsMax: number;
  readonly addressPlanBase: Address;
  readonly addressPlanBytes: Bytes;
}

export const bytes = (value: bigint): Bytes => value as Bytes;
export const address = (value: bigint): Address => value as Address;
export const sessionId = (value: bigint): SessionId => value as SessionId;
export const cacheId = (value: bigint): CacheId => value as CacheId;
export const extentId = (value: bigint): ExtentId => value as ExtentId;
export const grantId = (value: bigint): GrantId => value as GrantId;
export const instant = (value: number): Instant => value as Instant;
