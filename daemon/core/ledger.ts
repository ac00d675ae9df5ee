import { Books } from './books.js';
import type { AdoptedSpec } from './extents.js';
import type {
  Address,
  Bytes,
  CacheGeometry,
  CacheId,
  Effect,
  ExtentId,
  GrantId,
  Instant,
  Limits,
  Peer,
  SessionId,
} from './types.js';
import type {
  CacheView,
  GrantRequest,
  PoolView,
  ReserveRequest,
  Returned,
  SessionView,
  TenantChange,
  TenantsView,
} from './views.js';

export type {
  CacheView,
  GrantRequest,
  PoolView,
  ReserveRequest,
  Returned,
  SessionState,
  SessionView,
  TenantChange,
  TenantsView,
  TenantView,
} from './views.js';
export type { KvspanError } from '../../proto/errors.js';

/**
 * The books of one device: who holds what, who waits, which addresses are whose. Every method
 * either changes the state and says what follows, or throws a KvspanError and changes nothing.
 * Effects are to be carried out in order.
 */
export interface Ledger {
  /** Throws TENANT_UNKNOWN for a peer that belongs to no tenant, SESSION_EVICTED, SESSION_LIMIT. */
  openSession(peer: Peer, now: Instant): SessionId;

  /** At `wantedBase` also if a session that the same process left behind has exactly that range. */
  createCache(
    session: SessionId,
    geometry: CacheGeometry,
    name: string,
    wantedBase: Address,
  ): CacheView;
  placeCache(session: SessionId, cache: CacheId, base: Address): void;
  destroyCache(session: SessionId, cache: CacheId): void;

  /**
   * A promise of memory for one slot to grow to a length: made now (a `promised` effect), or queued
   * as a grant is, or refused (thrown). What is promised counts as if it were held: against the pool,
   * the session's limit and its tenant's. A guarantee that needs what was borrowed cuts it.
   */
  reserve(session: SessionId, request: ReserveRequest, now: Instant): Effect[];
  /**
   * The client needs no more of a promise than `leftBytes`, 0: nothing, which ends it. Renews it. It
   * is never made larger. Throws PROMISE_UNKNOWN.
   */
  keepPromise(session: SessionId, promise: GrantId, leftBytes: Bytes, now: Instant): Effect[];

  /**
   * Out of a promise: met at once. Else met now (a `grant` effect), or queued up to `waitMs` (reclaim
   * effects), or refused (thrown).
   */
  requestGrant(session: SessionId, request: GrantRequest, now: Instant): Effect[];
  /** False: no such grant is waiting. A cancelled grant gets a `refuse` effect (GRANT_CANCELLED). */
  cancelGrant(
    session: SessionId,
    grant: GrantId,
    now: Instant,
  ): { readonly cancelled: boolean; readonly effects: Effect[] };
  /** The device and the channel are done with a grant: `importedCount` extents, from the first, arrived. */
  grantSettled(session: SessionId, grant: GrantId, importedCount: number, now: Instant): Effect[];
  /** The session's own, or of a session that the same process left behind. */
  returnExtents(
    session: SessionId,
    extents: readonly ExtentId[],
    now: Instant,
  ): { readonly returned: Returned; readonly effects: Effect[] };
  /**
   * Extents that this session's client holds already: of an earlier daemon, which are charged, or on
   * the account of a session that the same process (pid and uid) left behind, from which they move.
   * All or none. A session left behind that has nothing any more is forgotten.
   */
  adopt(
    session: SessionId,
    extents: readonly AdoptedSpec[],
    now: Instant,
  ): { readonly heldBytes: Bytes; readonly effects: Effect[] };

  /**
   * A session answered a `reclaim` (its extents were returned before): it may be asked again. A
   * report that comes after its deadline, or of an older reclaim, is taken and changes nothing.
   */
  reclaimReported(session: SessionId, reclaim: bigint, now: Instant): Effect[];

  /** The connection is gone; its process may still hold memory, so it stays charged. */
  sessionClosed(session: SessionId, now: Instant): Effect[];
  /** The process is gone: everything it had is free. */
  sessionExited(session: SessionId, now: Instant): Effect[];

  /**
   * The session gets nothing more and may only give back; its waiting grants are refused. It stays
   * charged and on the list until its process exits, which is not let in again before. Of one that is
   * closed, too; twice is once. Throws SESSION_UNKNOWN.
   */
  evict(session: SessionId, now: Instant): Effect[];

  /** Refuses waiting grants, and ends promises, whose time has come. */
  expire(now: Instant): Effect[];
  /** The next instant at which `expire` has work; null: never. */
  nextExpiry(): Instant | null;
  /** No further grants; waiting ones are refused. */
  drain(now: Instant): Effect[];

  /**
   * Changes what a tenant is entitled to, at once; waiting grants are looked at again, and those that
   * can never be met now are refused. What it holds above a lower limit it keeps until others need it.
   * Throws TENANT_UNKNOWN, REVISION_STALE, INVALID_ARGUMENT.
   */
  setTenant(change: TenantChange, now: Instant): Effect[];
  tenants(): TenantsView;

  pool(): PoolView;
  session(session: SessionId): SessionView;
  sessions(): SessionView[];
  caches(session: SessionId | null): CacheView[];
  /** Throws if the books do not add up; cheap enough for tests to call after every operation. */
  check(): void;
}

/**
 * An empty ledger. `epoch` (24 bits) is the high part of every extent id: another for every run of
 * the daemon, so that extents of an earlier run are recognised. Throws INVALID_ARGUMENT for limits
 * that cannot be kept.
 */
export function createLedger(limits: Limits, options: { readonly epoch: bigint }): Ledger {
  return new Books(limits, options.epoch);
}
