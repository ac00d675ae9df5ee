import { KvspanError } from '../../proto/errors.js';
import { audit } from './audit.js';
import { CacheBook, cacheView } from './caches.js';
import { sortAdopted, type AdoptedSpec, type Extent } from './extents.js';
import { GrantDesk } from './grant-desk.js';
import { checkLimits } from './limits.js';
import { Pool } from './pool.js';
import {
  evictedError,
  inFlightBytes,
  isLeftBehind,
  SessionTable,
  type Session,
} from './sessions.js';
import { TenantTable, tenantView } from './tenants.js';
import {
  bytes,
  sessionId,
  type Address,
  type Bytes,
  type CacheGeometry,
  type CacheId,
  type Effect,
  type ExtentId,
  type GrantId,
  type Instant,
  type Limits,
  type Peer,
  type SessionId,
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

/**
 * The ledger: finds whom a request is about, validates the whole of it, changes the state, and lets
 * the desk say what follows. Its methods' contracts stand at `Ledger`.
 */
export class Books {
  private readonly table = new SessionTable();
  private readonly tenantTable: TenantTable;
  private readonly pools: Pool;
  private readonly cacheBook: CacheBook;
  private readonly desk: GrantDesk;
  private lastSession = 0n;
  private draining = false;

  constructor(
    private readonly limits: Limits,
    epoch: bigint,
  ) {
    checkLimits(limits);
    this.tenantTable = new TenantTable(limits);
    this.pools = new Pool(limits.poolBytes, epoch);
    this.cacheBook = new CacheBook(limits);
    this.desk = new GrantDesk(limits, this.pools, this.table, this.tenantTable);
  }

  openSession(peer: Peer, now: Instant): SessionId {
    this.refuseWhenDraining();
    const tenant = this.tenantTable.of(peer);
    this.table.admit(peer);
    const { sessionsMax } = this.limits;
    // Closed sessions count until their process exits: else one process could open any number.
    if (this.table.count >= sessionsMax) {
      throw new KvspanError(
        'SESSION_LIMIT',
        `sessions: ${this.table.count} are open or not yet exited, allowed: ${sessionsMax}`,
      );
    }
    const id = sessionId((this.lastSession += 1n));
    this.table.add({
      id,
      peer: { ...peer },
      tenant,
      openedAt: now,
      state: 'open',
      heldBytes: bytes(0n),
      extents: new Set(),
      inFlight: new Map(),
      waiting: [],
      caches: new Map(),
      askedBack: null,
      promises: new Map(),
      promisedBytes: 0n,
      barren: false,
      idleNotBefore: now,
      overdueAboveBytes: null,
      overdueCount: 0,
      evicted: false,
    });
    return id;
  }

  createCache(
    id: SessionId,
    geometry: CacheGeometry,
    name: string,
    wantedBase: Address,
  ): CacheView {
    const session = this.table.open(id);
    this.refuseWhenDraining();
    const leftBehind = [...this.table].filter(other => isLeftBehind(other, session));
    const { cache, takenFrom } = this.cacheBook.create(
      session,
      geometry,
      name,
      wantedBase,
      leftBehind,
    );
    if (takenFrom !== null) this.table.forgetIfEmpty(takenFrom);
    return cacheView(cache);
  }

  placeCache(id: SessionId, cache: CacheId, base: Address): void {
    this.cacheBook.place(this.table.open(id), cache, base);
  }

  destroyCache(id: SessionId, cache: CacheId): void {
    const session = this.table.living(id);
    this.cacheBook.destroy(session, cache);
    this.table.forgetIfEmpty(session);
  }

  requestGrant(id: SessionId, request: GrantRequest, now: Instant): Effect[] {
    const session = this.table.open(id);
    this.refuseWhenDraining();
    return this.desk.request(session, request, now);
  }

  reserve(id: SessionId, request: ReserveRequest, now: Instant): Effect[] {
    const session = this.table.open(id);
    this.refuseWhenDraining();
    return this.desk.reserve(session, this.cacheBook.of(session, request.cache), request, now);
  }

  keepPromise(id: SessionId, promise: GrantId, leftBytes: Bytes, now: Instant): Effect[] {
    return this.desk.keepPromise(this.table.open(id), promise, leftBytes, now);
  }

  cancelGrant(
    id: SessionId,
    grant: GrantId,
    now: Instant,
  ): { cancelled: boolean; effects: Effect[] } {
    const effects = this.desk.cancel(this.table.open(id), grant, now);
    return { cancelled: effects !== null, effects: effects ?? [] };
  }

  grantSettled(id: SessionId, grant: GrantId, importedCount: number, now: Instant): Effect[] {
    const session = this.table.any(id);
    this.desk.settle(session, grant, importedCount);
    this.table.forgetIfEmpty(session);
    return this.desk.follow(session, now);
  }

  returnExtents(
    id: SessionId,
    ids: readonly ExtentId[],
    now: Instant,
  ): { returned: Returned; effects: Effect[] } {
    const session = this.table.living(id);
    const extents = this.ownedOnce(session, ids);
    for (const extent of extents) this.pools.giveBack(extent);
    this.forgetEmpty(new Set(extents.map(extent => extent.session)));
    const returnedBytes = bytes(extents.reduce((total, extent) => total + extent.bytes, 0n));
    // The account as it is before this very return lets one of the session's own grants be met.
    const returned = { extentCount: extents.length, returnedBytes, heldBytes: session.heldBytes };
    return { returned, effects: this.desk.follow(session, now) };
  }

  adopt(
    id: SessionId,
    extents: readonly AdoptedSpec[],
    now: Instant,
  ): { heldBytes: Bytes; effects: Effect[] } {
    const session = this.table.open(id);
    this.refuseWhenDraining();
    const adoption = sortAdopted(this.pools.extents, session, extents);
    this.desk.checkRoomToAdopt(session, adoption);
    const holders = new Set(adoption.moved.map(extent => extent.session));
    this.pools.adopt(session, adoption.fresh);
    for (const extent of adoption.moved) this.pools.move(extent, session);
    this.forgetEmpty(holders);
    const { heldBytes } = session;
    // A tenant that holds more has less of a claim than before: another may be next in line.
    return { heldBytes, effects: this.desk.follow(session, now) };
  }

  reclaimReported(id: SessionId, reclaim: bigint, now: Instant): Effect[] {
    const session = this.table.open(id);
    return [...this.desk.reclaimReported(session, reclaim, now), ...this.desk.follow(session, now)];
  }

  sessionClosed(id: SessionId, now: Instant): Effect[] {
    const session = this.table.any(id);
    if (session.state !== 'open') return [];
    session.state = 'lingering';
    return [...this.desk.dismiss(session), ...this.desk.follow(session, now)];
  }

  sessionExited(id: SessionId, now: Instant): Effect[] {
    const session = this.table.any(id);
    const dismissed = session.state === 'open' ? this.desk.dismiss(session) : [];
    session.state = 'exited';
    // What is in flight stays charged: the daemon itself still holds it.
    for (const extent of session.extents) {
      if (extent.grant === null) this.pools.giveBack(extent);
    }
    this.cacheBook.destroyAll(session);
    this.table.forgetIfEmpty(session);
    return [...dismissed, ...this.desk.follow(session, now)];
  }

  evict(id: SessionId, now: Instant): Effect[] {
    const session = this.table.living(id);
    session.evicted = true;
    if (session.state !== 'open') return [];
    session.state = 'lingering';
    const why = evictedError(id, session.peer.pid, 'the grant will not be met');
    return [...this.desk.dismiss(session, why), ...this.desk.follow(session, now)];
  }

  expire(now: Instant): Effect[] {
    return this.desk.expire(now);
  }

  nextExpiry(): Instant | null {
    return this.desk.nextExpiry();
  }

  setTenant(change: TenantChange, now: Instant): Effect[] {
    this.tenantTable.change(change);
    return this.desk.reconsider(now);
  }

  tenants(): TenantsView {
    const sessions = [...this.table];
    const tenants = Array.from(this.tenantTable, tenant => {
      const own = sessions.filter(session => session.tenant === tenant);
      return tenantView(tenant, own);
    });
    return { revision: this.tenantTable.revision, tenants };
  }

  drain(now: Instant): Effect[] {
    this.draining = true;
    return this.desk.drain(now);
  }

  pool(): PoolView {
    const { totalBytes, usedBytes, freeBytes, promisedBytes, extents } = this.pools;
    const { grantedCount, grantedBytes, returnedBytes } = this.pools;
    const { waitingCount, waitingBytes, refusedCount } = this.desk;
    return {
      poolBytes: totalBytes,
      usedBytes,
      freeBytes,
      promisedBytes,
      extentCount: extents.count,
      sessionCount: this.table.count,
      cacheCount: this.cacheBook.count,
      waitingGrantCount: waitingCount,
      waitingBytes: bytes(waitingBytes),
      grantedCount,
      refusedCount,
      grantedBytes: bytes(grantedBytes),
      returnedBytes: bytes(returnedBytes),
    };
  }

  session(id: SessionId): SessionView {
    return this.view(this.table.any(id));
  }

  sessions(): SessionView[] {
    return Array.from(this.table, session => this.view(session));
  }

  caches(id: SessionId | null): CacheView[] {
    const sessions = id === null ? [...this.table] : [this.table.any(id)];
    return sessions.flatMap(session => Array.from(session.caches.values(), cacheView));
  }

  check(): void {
    audit({
      limits: this.limits,
      pool: this.pools,
      sessions: this.table,
      caches: this.cacheBook,
      tenants: this.tenantTable,
    });
    this.desk.check();
  }

  /** All of the extents, or an error that says which one is not the session's to return. */
  private ownedOnce(session: Session, ids: readonly ExtentId[]): Extent[] {
    const extents = new Set<Extent>();
    for (const id of ids) {
      const extent = this.pools.extents.ownedBy(session, id);
      if (extents.has(extent)) {
        throw new KvspanError(
          'EXTENT_RETURNED',
          `extent_ids: extent ${id} stands twice in one return`,
          { field: 'extent_ids' },
        );
      }
      extents.add(extent);
    }
    return [...extents];
  }

  /** The sessions that these extents were of are forgotten if nothing of them is left. */
  private forgetEmpty(holders: ReadonlySet<Session>): void {
    for (const holder of holders) this.table.forgetIfEmpty(holder);
  }

  private view(session: Session): SessionView {
    const { id, peer, openedAt, heldBytes } = session;
    return {
      id,
      peer,
      openedAt,
      heldBytes,
      inFlightBytes: inFlightBytes(session),
      state: session.state === 'open' ? 'open' : 'lingering',
      evicted: session.evicted,
      limitBytes: this.desk.limitOf(session),
      extentCount: session.extents.size,
      cacheCount: session.caches.size,
      waitingGrantCount: session.waiting.length,
      promisedBytes: bytes(session.promisedBytes),
      promiseCount: session.promises.size,
      tenant: session.tenant.spec.name,
      overdueCount: session.overdueCount,
      servedLast: session.overdueAboveBytes !== null,
    };
  }

  private refuseWhenDraining(): void {
    if (this.draining)
      throw new KvspanError('DRAINING', 'the daemon is shutting down: nothing new is given out');
  }
}
