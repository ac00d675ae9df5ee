import { KvspanError, badField, type Holder } from '../../proto/errors.js';
import type { Adoption } from './extents.js';
import { checkGrantRequest, fit, type GrantOrder } from './grants.js';
import { integerField } from './limits.js';
import type { Pool } from './pool.js';
import type { QuotaPolicy } from './quota.js';
import { ReclaimRounds } from './reclaim.js';
import { largestHolders, shortage } from './refusals.js';
import type { Session, SessionTable } from './sessions.js';
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
  /** Grants refused for want of memory or time, or because the daemon drains. */
  refusedCount = 0n;

  constructor(
    private readonly limits: Limits,
    private readonly pool: Pool,
    private readonly sessions: SessionTable,
    private readonly quota: QuotaPolicy,
  ) {
    this.line = new WaitingLine(waiter => this.quotaFit(waiter.session, waiter.order) !== null);
    this.rounds = new ReclaimRounds(sessions);
  }

  get waitingCount(): number {
    return this.line.count;
  }

  get waitingBytes(): bigint {
    return this.line.bytes;
  }

  limitOf(session: Session): Bytes {
    return this.quota.limitBytes(session);
  }

  request(session: Session, request: GrantRequest, now: Instant): Effect[] {
    const order = checkGrantRequest(request, this.limits);
    this.checkUnused(session, order.grant);
    this.refuseTheImpossible(session, order);
    // Who comes now comes after all who wait: of his own session, and of others for the pool.
    const next = this.line.head === null && session.waiting.length === 0;
    const counts = next ? this.fitNow(session, order) : null;
    if (counts !== null) return [this.issue(session, order, counts)];
    if (order.waitMs === 0) throw this.refusal(session, order, this.placeInLine(session));
    this.line.join(session, order, now);
    return this.rounds.now(this.line, this.pool.freeBytes, now);
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
   * the pool, what it needs of the quota is spoken for: it would lose its turn.
   */
  checkRoomToAdopt(session: Session, { freshBytes, movedBytes }: Adoption): void {
    const wantedBytes = freshBytes + movedBytes;
    const left = this.quota.leftBytes(session) - wantedBytes;
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
    if (freshBytes > this.pool.freeBytes)
      throw this.shortage(session, 'POOL_EXHAUSTED', freshBytes, '');
  }

  reclaimReported(session: Session, reclaim: bigint): void {
    this.rounds.reported(session, reclaim);
  }

  /** The session is no longer connected: nobody is there to be granted or asked anything. */
  dismiss(session: Session): Effect[] {
    const waiters = [...session.waiting];
    // From the last to the first, so that none of them comes to the head of the line meanwhile.
    for (const waiter of waiters.toReversed()) this.line.leave(waiter);
    this.rounds.dismiss(session);
    return waiters.map(waiter => cancelled(waiter, 'its session was closed'));
  }

  /** Refuses those whose time is over; in the order in which it was. */
  expire(now: Instant): Effect[] {
    const effects: Effect[] = [];
    const holders = this.holdersOnce();
    for (
      let waiter = this.line.firstToExpire();
      waiter !== null && waiter.deadline <= now;
      waiter = this.line.firstToExpire()
    ) {
      const { session, order } = waiter;
      const error = this.refusal(session, order, `waited ${order.waitMs} ms`, holders());
      this.line.leave(waiter);
      effects.push({ kind: 'refuse', session: session.id, grant: order.grant, error });
    }
    return [...effects, ...this.serve(now)];
  }

  nextExpiry(): Instant | null {
    const deadline = this.line.firstToExpire()?.deadline ?? null;
    const round = this.line.head === null ? null : this.rounds.next;
    if (deadline === null || round === null) return deadline ?? round;
    return deadline < round ? deadline : round;
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
    const effects: Effect[] = [];
    for (let head = this.line.head; head !== null; head = this.line.head) {
      const { session, order } = head;
      const counts = this.fitNow(session, order);
      if (counts === null) break;
      this.line.leave(head);
      effects.push(this.issue(session, order, counts));
    }
    return [...effects, ...this.rounds.due(this.line, this.pool.freeBytes, now)];
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
    const left = this.quota.leftBytes(session);
    const free = this.pool.freeBytes;
    return fit(order, left < free ? left : free, this.limits.extentsPerGrantMax);
  }

  private quotaFit(session: Session, order: GrantOrder): OrderCounts | null {
    return fit(order, this.quota.leftBytes(session), this.limits.extentsPerGrantMax);
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

  /** What no waiting can bring is refused at once. */
  private refuseTheImpossible(session: Session, order: GrantOrder): void {
    const max = this.limits.extentsPerGrantMax;
    const remark = 'it could never be met';
    if (fit(order, this.quota.limitBytes(session), max) === null) {
      this.refusedCount += 1n;
      throw this.shortage(session, 'QUOTA_EXHAUSTED', order.askedBytes, remark);
    }
    if (fit(order, this.pool.totalBytes, max) === null) {
      this.refusedCount += 1n;
      throw this.shortage(session, 'POOL_EXHAUSTED', order.askedBytes, remark);
    }
  }

  private refusal(
    session: Session,
    order: GrantOrder,
    remark: string,
    holders?: readonly Holder[],
  ): KvspanError {
    this.refusedCount += 1n;
    const first = session.waiting[0]?.order ?? order;
    const byQuota =
      this.quotaFit(session, order) === null || this.quotaFit(session, first) === null;
    return this.shortage(
      session,
      byQuota ? 'QUOTA_EXHAUSTED' : 'POOL_EXHAUSTED',
      order.askedBytes,
      remark,
      holders,
    );
  }

  private shortage(
    session: Session,
    code: 'POOL_EXHAUSTED' | 'QUOTA_EXHAUSTED',
    askedBytes: bigint,
    remark: string,
    holders: readonly Holder[] = largestHolders(this.sessions),
  ): KvspanError {
    const ofPool = code === 'POOL_EXHAUSTED';
    const freeBytes = ofPool ? this.pool.freeBytes : this.quota.leftBytes(session);
    const limitBytes = ofPool ? this.pool.totalBytes : this.quota.limitBytes(session);
    return shortage({ code, askedBytes, freeBytes, limitBytes, holders, remark });
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

function cancelled({ session, order }: Waiter, why: string): Effect {
  const error = new KvspanError('GRANT_CANCELLED', `grant ${order.grant}: ${why}`);
  return { kind: 'refuse', session: session.id, grant: order.grant, error };
}
