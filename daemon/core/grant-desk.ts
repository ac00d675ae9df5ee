import { KvspanError, badField, type Holder } from '../../proto/errors.js';
import type { Cache } from './caches.js';
import type { Adoption } from './extents.js';
import { checkGrantRequest, checkReserveRequest, fit, sum, type GrantOrder } from './grants.js';
import { integerField } from './limits.js';
import type { Pool } from './pool.js';
import { PromiseBook, type Promised } from './promises.js';
import { Quotas } from './quota.js';
import { ReclaimRounds } from './reclaim.js';
import { cancelled, largestHolders, overdrawn, overdueRemark, refuse } from './refusals.js';
import type { Session, SessionTable } from './sessions.js';
import { Shortages } from './shortages.js';
import { claimedBytes, type TenantTable } from './tenants.js';
import {
  bytes,
  type Bytes,
  type Effect,
  type GrantId,
  type Instant,
  type Limits,
  type OrderCounts,
} from './types.js';
import type { GrantRequest, ReserveRequest } from './views.js';
import { WaitingLine, type Waiter } from './waiting.js';

/**
 * Where grants and promises are asked for: meets them, lets them wait, serves the line whenever memory
 * has come free, and refuses. After every change `follow` says what follows from it.
 */
export class GrantDesk {
  private readonly line: WaitingLine;
  private readonly rounds: ReclaimRounds;
  private readonly quotas: Quotas;
  private readonly promises: PromiseBook;
  private readonly shortages: Shortages;

  constructor(
    private readonly limits: Limits,
    private readonly pool: Pool,
    private readonly sessions: SessionTable,
    private readonly tenants: TenantTable,
  ) {
    this.quotas = new Quotas(limits.sessionLimitBytes, tenants, pool);
    this.promises = new PromiseBook(pool, sessions, tenants);
    this.shortages = new Shortages(limits, pool, this.quotas, sessions, () => this.line);
    this.line = new WaitingLine({
      sessionAllows: ({ session, order }) => this.shortages.quotaFit(session, order) !== null,
      tenantAllows: ({ session, order }) => this.shortages.tenantFits(session, order),
    });
    this.rounds = new ReclaimRounds(sessions, tenants);
  }

  /** Grants refused for want of memory or time, or because the daemon drains. */
  get refusedCount(): bigint {
    return this.shortages.refusedCount;
  }

  get waitingCount(): number {
    return this.line.count;
  }

  get waitingBytes(): bigint {
    return this.line.bytes;
  }

  limitOf(session: Session): Bytes {
    return this.quotas.limitBytes(session);
  }

  request(session: Session, request: GrantRequest, now: Instant): Effect[] {
    const order = checkGrantRequest(request, this.limits);
    this.checkUnused(session, 'grant_id', order.grant);
    const promise = request.promise ?? null;
    if (promise !== null) return [this.draw(this.promises.of(session, promise), order, now)];
    return this.place(session, order, now);
  }

  /** The size is that of the cache, which must be the session's. */
  reserve(session: Session, cache: Cache, request: ReserveRequest, now: Instant): Effect[] {
    const order = checkReserveRequest(request, cache, this.limits);
    this.checkUnused(session, 'promise_id', order.grant);
    this.promises.checkRoom(session);
    return this.place(session, order, now);
  }

  /** The client says how much of a promise it still needs, and that it needs it. */
  keepPromise(session: Session, id: GrantId, leftBytes: bigint, now: Instant): Effect[] {
    this.promises.keep(this.promises.of(session, id), leftBytes, now);
    return this.follow(session, now);
  }

  /** Null: no such grant waits. */
  cancel(session: Session, grant: GrantId, now: Instant): Effect[] | null {
    const waiter = this.line.find(session, grant);
    if (waiter === null) return null;
    this.line.leave(waiter);
    return [cancelled(waiter, 'cancelled by its client'), ...this.follow(session, now)];
  }

  settle(session: Session, id: GrantId, importedCount: number): void {
    const grant = session.inFlight.get(id);
    if (grant === undefined)
      throw badField('grant_id', id, `a grant in flight of session ${session.id}`);
    integerField('importedCount', importedCount, 0, grant.extents.length);
    const missing = grant.extents.slice(importedCount).filter(({ returned }) => !returned);
    this.pool.settle(grant, importedCount);
    const missingBytes = missing.reduce((total, extent) => total + extent.bytes, 0n);
    if (grant.promise !== null) this.promises.restore(grant.promise, missingBytes);
  }

  /**
   * Throws unless the session may hold this much more, and the pool has what of it is fresh; what
   * moves from another account is in use already. If a grant of the session waits for nothing but
   * the pool, what it needs of the quota is spoken for: it would lose its turn. What moves stays
   * within the tenant.
   */
  checkRoomToAdopt(session: Session, { freshBytes, movedBytes }: Adoption): void {
    const wantedBytes = freshBytes + movedBytes;
    const left = this.quotas.ofSession(session).leftBytes - wantedBytes;
    const first = session.waiting[0]?.order;
    const spokenFor = first !== undefined && this.shortages.quotaFit(session, first) !== null;
    if (left < 0n || (spokenFor && fit(first, left, this.limits.extentsPerGrantMax) === null)) {
      throw this.shortages.shortage(
        session,
        'QUOTA_EXHAUSTED',
        wantedBytes,
        spokenFor ? 'a grant of the session waits' : '',
      );
    }
    const ofTenant = this.quotas.ofTenant(session.tenant);
    if (ofTenant !== null && freshBytes > 0n && freshBytes > ofTenant.leftBytes)
      throw this.shortages.shortage(session, 'TENANT_LIMIT', freshBytes, '');
    if (freshBytes > this.quotas.freeBytes(session.tenant))
      throw this.shortages.shortage(session, 'POOL_EXHAUSTED', freshBytes, '');
  }

  reclaimReported(session: Session, reclaim: bigint, now: Instant): Effect[] {
    return this.rounds.reported(session, reclaim, now);
  }

  /**
   * The session is no longer connected: nobody is there to be granted or asked anything. `why`: what
   * its waiting grants are refused with, if not as cancelled.
   */
  dismiss(session: Session, why: KvspanError | null = null): Effect[] {
    const waiters = [...session.waiting];
    // From the last to the first, so that none of them comes to the head of the line meanwhile.
    for (const waiter of waiters.toReversed()) this.line.leave(waiter);
    this.rounds.dismiss(session);
    this.promises.endAll(session);
    return waiters.map(waiter =>
      why === null ? cancelled(waiter, 'its session was closed') : refuse(waiter, why),
    );
  }

  /** Ends promises and refuses those whose time is over; in the order in which it was. */
  expire(now: Instant): Effect[] {
    const effects: Effect[] = [...this.promises.lapse(now), ...this.rounds.overdue(now)];
    if (effects.some(({ kind }) => kind === 'cut')) {
      this.refreshAll();
      // Before anybody is refused: what has lapsed is free for who waits, also if that is seen late.
      effects.push(...this.serveLine(now));
    }
    const holders = this.holdersOnce();
    for (
      let waiter = this.line.firstToExpire();
      waiter !== null && waiter.deadline <= now;
      waiter = this.line.firstToExpire()
    ) {
      const { session, order } = waiter;
      const remark = [`waited ${order.waitMs} ms`, overdueRemark(this.sessions)];
      const told = remark.filter(part => part !== '').join('; ');
      const error = this.shortages.refusal(session, order, told, holders());
      this.line.leave(waiter);
      effects.push({ kind: 'refuse', session: session.id, grant: order.grant, error });
    }
    return [...effects, ...this.serve(now)];
  }

  nextExpiry(): Instant | null {
    const round = this.line.isHelpable ? this.rounds.next : null;
    const deadline = this.line.firstToExpire()?.deadline ?? null;
    const all = [deadline, round, this.rounds.nextOverdue, this.promises.next].filter(
      one => one !== null,
    );
    return all.reduce<Instant | null>(
      (first, one) => (first === null || one < first ? one : first),
      null,
    );
  }

  /** Entitlements have changed: what can never be met now is refused, the rest looked at again. */
  reconsider(now: Instant): Effect[] {
    const effects: Effect[] = this.cutToEntitlements();
    const waiters = [...this.sessions].flatMap(session => session.waiting);
    for (const waiter of waiters.toSorted((a, b) => a.sequence - b.sequence)) {
      const { session, order } = waiter;
      const error = this.shortages.impossible(session, order);
      if (error === null) continue;
      this.line.leave(waiter);
      effects.push({ kind: 'refuse', session: session.id, grant: order.grant, error });
    }
    return [...effects, ...this.serveLine(now), ...this.askBack(now)];
  }

  drain(now: Instant): Effect[] {
    const waiters = [...this.sessions]
      .flatMap(session => session.waiting)
      .toSorted((a, b) => a.sequence - b.sequence);
    for (const waiter of waiters.toReversed()) this.line.leave(waiter);
    this.shortages.refusedCount += BigInt(waiters.length);
    const error = new KvspanError(
      'DRAINING',
      'the daemon is shutting down: the grant will not be met',
    );
    const effects: Effect[] = waiters.map(({ session, order }) => ({
      kind: 'refuse',
      session: session.id,
      grant: order.grant,
      error,
    }));
    return [...effects, ...this.serve(now)];
  }

  /** The session holds more or less than before. */
  accountChanged(session: Session): void {
    this.line.refresh(session);
  }

  /** What follows from a change to the session's account: grants that can be met now, reclaims. */
  follow(session: Session, now: Instant): Effect[] {
    this.accountChanged(session);
    return this.serve(now);
  }

  /** Throws if somebody waits for memory that is free. */
  check(): void {
    const { head } = this.line;
    if (head !== null && (this.fitNow(head.session, head.order) ?? this.cutsFor(head)) !== null) {
      throw new KvspanError(
        'INTERNAL',
        `ledger: grant ${head.order.grant} of session ${head.session.id} waits for memory that is free`,
      );
    }
    this.line.check(this.sessions);
  }

  private serve(now: Instant): Effect[] {
    return [...this.serveLine(now), ...this.rounds.due(this.line, this.pool.unpromisedBytes, now)];
  }

  private askBack(now: Instant): Effect[] {
    return this.rounds.now(this.line, this.pool.unpromisedBytes, now);
  }

  /** True if nobody who waits comes before the session's next request, whatever that is. */
  private isFirst(session: Session): boolean {
    return (
      session.waiting.length === 0 &&
      this.line.head === null &&
      this.line.firstOf(session.tenant) === null
    );
  }

  private place(session: Session, order: GrantOrder, now: Instant): Effect[] {
    const impossible = this.shortages.impossible(session, order);
    if (impossible !== null) throw impossible;
    if (this.isFirst(session)) {
      const counts = this.fitNow(session, order);
      if (counts !== null) return [this.issue(session, order, counts, now)];
    }
    // Who comes now comes after all of his tenant who wait, but before tenants with less of a claim.
    const waiter = this.line.join(session, order, now);
    const effects = this.serveLine(now);
    if (waiter.gone) return effects;
    if (order.waitMs > 0) return [...effects, ...this.askBack(now)];
    this.line.leave(waiter);
    throw this.shortages.refusal(session, order, this.shortages.placeInLine(session));
  }

  private serveLine(now: Instant): Effect[] {
    const effects: Effect[] = [];
    for (let head = this.line.head; head !== null; head = this.line.head) {
      const { session, order } = head;
      if (this.fitNow(session, order) === null) {
        const missing = this.cutsFor(head);
        if (missing === null) break;
        effects.push(...this.promises.cutBorrowed(missing, 'guarantee'));
        this.refreshAll();
      }
      const counts = this.fitNow(session, order) as OrderCounts;
      this.line.leave(head);
      effects.push(this.issue(session, order, counts, now));
    }
    return effects;
  }

  private issue(session: Session, order: GrantOrder, counts: OrderCounts, now: Instant): Effect {
    if (order.terms === null) return this.give(session, order, counts, null);
    const promise = this.promises.make(session, order, order.terms, now);
    this.accountChanged(session);
    const size = bytes(promise.bytes);
    return { kind: 'promised', session: session.id, promise: promise.id, bytes: size };
  }

  private give(
    session: Session,
    { grant }: GrantOrder,
    counts: OrderCounts,
    promise: Promised | null,
  ): Effect {
    const { extents } = this.pool.issue(session, grant, counts, promise);
    this.accountChanged(session);
    return {
      kind: 'grant',
      session: session.id,
      grant,
      extents: extents.map(({ id, bytes }) => ({ id, bytes })),
    };
  }

  /** Out of a promise, at once: what it takes is kept free for it, so nobody waits any longer for it. */
  private draw(promise: Promised, order: GrantOrder, now: Instant): Effect {
    const counts = fit(order, promise.bytes, this.limits.extentsPerGrantMax);
    if (counts === null) {
      throw overdrawn(promise, order);
    }
    this.promises.use(promise, sum(counts), now);
    return this.give(promise.session, order, counts, promise);
  }

  /**
   * What must be cut of promises that borrow so that a guarantee gets what is its own; null: it is
   * no guarantee, or would not have enough even then. So no promise is cut in vain.
   */
  private cutsFor({ session, order }: Waiter): bigint | null {
    if (!this.quotas.isGuaranteed(session, order.roomBytes)) return null;
    const missing = this.quotas.missingBytes(session.tenant, order.roomBytes);
    return missing > 0n && missing <= this.promises.cuttableBytes ? missing : null;
  }

  /** After a change of entitlements: no promise passes a limit, or takes what is held for others. */
  private cutToEntitlements(): Effect[] {
    const effects: Effect[] = [];
    for (const tenant of this.tenants) {
      const above = claimedBytes(tenant) - tenant.limitBytes;
      if (above > 0n) effects.push(...this.promises.cutTenant(tenant, above, 'entitlement'));
    }
    const missing = this.tenants.reservedBytes - this.pool.unpromisedBytes;
    const cuttable = this.promises.cuttableBytes;
    const cut = missing < cuttable ? missing : cuttable;
    if (cut > 0n) effects.push(...this.promises.cutBorrowed(cut, 'entitlement'));
    this.refreshAll();
    return effects;
  }

  /** Promises of others than the session at hand have changed, and with them what they may have. */
  private refreshAll(): void {
    for (const session of this.sessions) this.line.refresh(session);
  }

  private fitNow(session: Session, order: GrantOrder): OrderCounts | null {
    const { tenant } = session;
    const bounds: bigint[] = [
      this.quotas.ofSession(session).leftBytes,
      this.quotas.freeBytes(tenant),
      this.quotas.ofTenant(tenant)?.leftBytes ?? this.pool.totalBytes,
    ];
    // Who comes first because of its guarantee gets no more than that before others who wait.
    if (this.quotas.isGuaranteed(session, order.roomBytes) && this.line.hasRivals(tenant))
      bounds.push(tenant.guaranteedBytes - claimedBytes(tenant));
    const room = bounds.reduce((least, bound) => (bound < least ? bound : least));
    return fit(order, room, this.limits.extentsPerGrantMax);
  }

  private checkUnused(session: Session, field: string, grant: GrantId): void {
    const { grantsInFlightMax } = this.limits;
    const { inFlight, promises } = session;
    if (inFlight.has(grant) || promises.has(grant) || this.line.find(session, grant) !== null) {
      throw new KvspanError('GRANT_DUPLICATE', `${field}: ${grant} is in use already`, { field });
    }
    const count = inFlight.size + session.waiting.length;
    if (count >= grantsInFlightMax) {
      throw new KvspanError(
        'GRANT_LIMIT',
        `grants: ${count} of session ${session.id} are in flight, allowed: ${grantsInFlightMax}`,
      );
    }
  }

  /** Many may be refused at one instant: who holds what is counted once for all of them. */
  private holdersOnce(): () => Holder[] {
    let holders: Holder[] | null = null;
    return () => (holders ??= largestHolders(this.sessions));
  }
}
