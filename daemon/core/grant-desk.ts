import { KvspanError, badField, type Holder } from '../../proto/errors.js';
import type { Adoption } from './extents.js';
import { checkGrantRequest, fit, type GrantOrder } from './grants.js';
import { integerField } from './limits.js';
import type { Pool } from './pool.js';
import { Quotas } from './quota.js';
import { ReclaimRounds } from './reclaim.js';
import { largestHolders, overdueRemark, shortage, type ShortageCode } from './refusals.js';
import type { Session, SessionTable } from './sessions.js';
import type { TenantTable } from './tenants.js';
import type { Bytes, Effect, GrantId, Instant, Limits, OrderCounts } from './types.js';
import type { GrantRequest } from './views.js';
import { WaitingLine, type Waiter } from './waiting.js';

/**
 * Where grants are asked for: meets them, lets them wait, serves the line whenever memory has come
 * free, and refuses. After every change `follow` says what follows from it.
 */
export class GrantDesk {
  private readonly line: WaitingLine;
  private readonly rounds: ReclaimRounds;
  private readonly quotas: Quotas;
  /** Grants refused for want of memory or time, or because the daemon drains. */
  refusedCount = 0n;

  constructor(
    private readonly limits: Limits,
    private readonly pool: Pool,
    private readonly sessions: SessionTable,
    tenants: TenantTable,
  ) {
    this.quotas = new Quotas(limits.sessionLimitBytes, tenants, pool);
    this.line = new WaitingLine({
      sessionAllows: ({ session, order }) => this.quotaFit(session, order) !== null,
      tenantAllows: ({ session, order }) => this.tenantFits(session, order),
    });
    this.rounds = new ReclaimRounds(sessions, tenants);
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
    this.checkUnused(session, order.grant);
    const impossible = this.impossible(session, order);
    if (impossible !== null) throw impossible;
    if (this.isFirst(session)) {
      const counts = this.fitNow(session, order);
      if (counts !== null) return [this.issue(session, order, counts)];
    }
    // Who comes now comes after all of his tenant who wait, but before tenants with less of a claim.
    const waiter = this.line.join(session, order, now);
    const effects = this.serveLine();
    if (waiter.gone) return effects;
    if (order.waitMs > 0) return [...effects, ...this.askBack(now)];
    this.line.leave(waiter);
    throw this.refusal(session, order, this.placeInLine(session));
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
    this.pool.settle(grant, importedCount);
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
    const spokenFor = first !== undefined && this.quotaFit(session, first) !== null;
    if (left < 0n || (spokenFor && fit(first, left, this.limits.extentsPerGrantMax) === null)) {
      throw this.shortage(
        session,
        'QUOTA_EXHAUSTED',
        wantedBytes,
        spokenFor ? 'a grant of the session waits' : '',
      );
    }
    const ofTenant = this.quotas.ofTenant(session.tenant);
    if (ofTenant !== null && freshBytes > 0n && freshBytes > ofTenant.leftBytes)
      throw this.shortage(session, 'TENANT_LIMIT', freshBytes, '');
    if (freshBytes > this.quotas.freeBytes(session.tenant))
      throw this.shortage(session, 'POOL_EXHAUSTED', freshBytes, '');
  }

  reclaimReported(session: Session, reclaim: bigint): Effect[] {
    return this.rounds.reported(session, reclaim);
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
    return waiters.map(waiter =>
      why === null ? cancelled(waiter, 'its session was closed') : refuse(waiter, why),
    );
  }

  /** Refuses those whose time is over; in the order in which it was. */
  expire(now: Instant): Effect[] {
    const effects: Effect[] = this.rounds.overdue(now);
    const holders = this.holdersOnce();
    for (
      let waiter = this.line.firstToExpire();
      waiter !== null && waiter.deadline <= now;
      waiter = this.line.firstToExpire()
    ) {
      const { session, order } = waiter;
      const remark = [`waited ${order.waitMs} ms`, overdueRemark(this.sessions)];
      const told = remark.filter(part => part !== '').join('; ');
      const error = this.refusal(session, order, told, holders());
      this.line.leave(waiter);
      effects.push({ kind: 'refuse', session: session.id, grant: order.grant, error });
    }
    return [...effects, ...this.serve(now)];
  }

  nextExpiry(): Instant | null {
    const round = this.line.isHelpable ? this.rounds.next : null;
    const deadline = this.line.firstToExpire()?.deadline ?? null;
    const all = [deadline, round, this.rounds.nextOverdue].filter(one => one !== null);
    return all.reduce<Instant | null>(
      (first, one) => (first === null || one < first ? one : first),
      null,
    );
  }

  /** Entitlements have changed: what can never be met now is refused, the rest looked at again. */
  reconsider(now: Instant): Effect[] {
    const effects: Effect[] = [];
    const waiters = [...this.sessions].flatMap(session => session.waiting);
    for (const waiter of waiters.toSorted((a, b) => a.sequence - b.sequence)) {
      const { session, order } = waiter;
      const error = this.impossible(session, order);
      if (error === null) continue;
      this.line.leave(waiter);
      effects.push({ kind: 'refuse', session: session.id, grant: order.grant, error });
    }
    return [...effects, ...this.serveLine(), ...this.askBack(now)];
  }

  drain(now: Instant): Effect[] {
    const waiters = [...this.sessions]
      .flatMap(session => session.waiting)
      .toSorted((a, b) => a.sequence - b.sequence);
    for (const waiter of waiters.toReversed()) this.line.leave(waiter);
    this.refusedCount += BigInt(waiters.length);
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
    if (head !== null && this.fitNow(head.session, head.order) !== null) {
      throw new KvspanError(
        'INTERNAL',
        `ledger: grant ${head.order.grant} of session ${head.session.id} waits for memory that is free`,
      );
    }
    this.line.check(this.sessions);
  }

  private serve(now: Instant): Effect[] {
    return [...this.serveLine(), ...this.rounds.due(this.line, this.pool.freeBytes, now)];
  }

  private askBack(now: Instant): Effect[] {
    return this.rounds.now(this.line, this.pool.freeBytes, now);
  }

  /** True if nobody who waits comes before the session's next request, whatever that is. */
  private isFirst(session: Session): boolean {
    return (
      session.waiting.length === 0 &&
      this.line.head === null &&
      this.line.firstOf(session.tenant) === null
    );
  }

  private serveLine(): Effect[] {
    const effects: Effect[] = [];
    for (let head = this.line.head; head !== null; head = this.line.head) {
      const { session, order } = head;
      const counts = this.fitNow(session, order);
      if (counts === null) break;
      this.line.leave(head);
      effects.push(this.issue(session, order, counts));
    }
    return effects;
  }

  private issue(session: Session, order: GrantOrder, counts: OrderCounts): Effect {
    const { extents } = this.pool.issue(session, order.grant, counts);
    this.accountChanged(session);
    return {
      kind: 'grant',
      session: session.id,
      grant: order.grant,
      extents: extents.map(({ id, bytes }) => ({ id, bytes })),
    };
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
      bounds.push(tenant.guaranteedBytes - tenant.heldBytes);
    const room = bounds.reduce((least, bound) => (bound < least ? bound : least));
    return fit(order, room, this.limits.extentsPerGrantMax);
  }

  private quotaFit(session: Session, order: GrantOrder): OrderCounts | null {
    return fit(order, this.quotas.ofSession(session).leftBytes, this.limits.extentsPerGrantMax);
  }

  private tenantFits({ tenant }: Session, order: GrantOrder): boolean {
    const ofTenant = this.quotas.ofTenant(tenant);
    if (ofTenant === null) return true;
    return fit(order, ofTenant.leftBytes, this.limits.extentsPerGrantMax) !== null;
  }

  private checkUnused(session: Session, grant: GrantId): void {
    const { grantsInFlightMax } = this.limits;
    if (session.inFlight.has(grant) || this.line.find(session, grant) !== null) {
      throw new KvspanError('GRANT_DUPLICATE', `grant_id: grant ${grant} is in flight already`, {
        field: 'grant_id',
      });
    }
    const count = session.inFlight.size + session.waiting.length;
    if (count >= grantsInFlightMax) {
      throw new KvspanError(
        'GRANT_LIMIT',
        `grants: ${count} of session ${session.id} are in flight, allowed: ${grantsInFlightMax}`,
      );
    }
  }

  /** What no waiting can bring: the error that says so, or null. */
  private impossible(session: Session, order: GrantOrder): KvspanError | null {
    const code = this.codeOfImpossible(session, order);
    if (code === null) return null;
    this.refusedCount += 1n;
    const total = fit(order, this.pool.totalBytes, this.limits.extentsPerGrantMax);
    const held = code === 'POOL_EXHAUSTED' && total !== null ? '; the rest is held for others' : '';
    return this.shortage(session, code, order.askedBytes, `it could never be met${held}`);
  }

  private codeOfImpossible(session: Session, order: GrantOrder): ShortageCode | null {
    const never = (limit: bigint): boolean =>
      fit(order, limit, this.limits.extentsPerGrantMax) === null;
    const { tenant } = session;
    if (never(this.quotas.ofSession(session).limitBytes)) return 'QUOTA_EXHAUSTED';
    const ofTenant = this.quotas.ofTenant(tenant);
    if (ofTenant !== null && never(ofTenant.limitBytes)) return 'TENANT_LIMIT';
    return never(this.quotas.reachableBytes(tenant)) ? 'POOL_EXHAUSTED' : null;
  }

  private refusal(
    session: Session,
    order: GrantOrder,
    remark: string,
    holders?: readonly Holder[],
  ): KvspanError {
    this.refusedCount += 1n;
    const code = this.codeOfRefusal(session, order);
    return this.shortage(session, code, order.askedBytes, remark, holders);
  }

  /** What keeps the order, or who is before it in its session or tenant, from being met. */
  private codeOfRefusal(session: Session, order: GrantOrder): ShortageCode {
    const first = session.waiting[0]?.order ?? order;
    if (this.quotaFit(session, order) === null || this.quotaFit(session, first) === null)
      return 'QUOTA_EXHAUSTED';
    const before = this.line.firstOf(session.tenant)?.order ?? order;
    const allowed = this.tenantFits(session, order) && this.tenantFits(session, before);
    return allowed ? 'POOL_EXHAUSTED' : 'TENANT_LIMIT';
  }

  private shortage(
    session: Session,
    code: ShortageCode,
    askedBytes: bigint,
    remark: string,
    holders: readonly Holder[] = largestHolders(this.sessions),
  ): KvspanError {
    const { of, freeBytes, limitBytes } = this.bounds(session, code);
    return shortage({ code, of, askedBytes, freeBytes, limitBytes, holders, remark });
  }

  private bounds(
    session: Session,
    code: ShortageCode,
  ): { readonly of: string; readonly freeBytes: bigint; readonly limitBytes: bigint } {
    const { tenant } = session;
    const { limitBytes, leftBytes } = this.quotas.ofSession(session);
    if (code === 'QUOTA_EXHAUSTED')
      return { of: 'session limit', freeBytes: leftBytes, limitBytes };
    const free = this.quotas.freeBytes(tenant);
    if (code === 'POOL_EXHAUSTED')
      return { of: 'pool', freeBytes: free, limitBytes: this.pool.totalBytes };
    const left = tenant.limitBytes - tenant.heldBytes;
    return {
      of: `tenant ${tenant.spec.name}, which holds ${tenant.heldBytes}`,
      freeBytes: left > 0n ? left : 0n,
      limitBytes: tenant.limitBytes,
    };
  }

  private placeInLine(session: Session): string {
    if (session.waiting.length > 0)
      return `${session.waiting.length} grants of the session wait before it`;
    return this.line.head === null ? '' : `${this.line.count} grants wait before it`;
  }

  /** Many may be refused at one instant: who holds what is counted once for all of them. */
  private holdersOnce(): () => Holder[] {
    let holders: Holder[] | null = null;
    return () => (holders ??= largestHolders(this.sessions));
  }
}

function cancelled(waiter: Waiter, why: string): Effect {
  return refuse(waiter, new KvspanError('GRANT_CANCELLED', `grant ${waiter.order.grant}: ${why}`));
}

function refuse({ session, order }: Waiter, error: KvspanError): Effect {
  return { kind: 'refuse', session: session.id, grant: order.grant, error };
}
