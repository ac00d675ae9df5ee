import { badField, KvspanError } from '../../proto/errors.js';
import { takeFromFurthest } from './fair-share.js';
import type { GrantOrder, PromiseTerms } from './grants.js';
import { PROMISES_PER_SESSION_MAX } from './limits.js';
import type { Pool } from './pool.js';
import type { Session, SessionTable } from './sessions.js';
import { borrowedBytes, cuttableBytes, type Tenant, type TenantTable } from './tenants.js';
import {
  bytes,
  instant,
  PAGE_BYTES,
  type CutReason,
  type Effect,
  type GrantId,
  type Instant,
} from './types.js';

/**
 * Memory that is kept free for a session: counted as if it held it, but not created, so that it can
 * still be taken back when its time is over.
 */
export interface Promised {
  readonly id: GrantId;
  readonly session: Session;
  readonly lapseMs: number;
  /** Who was promised first. */
  readonly sequence: number;
  /** Not used yet. */
  bytes: bigint;
  deadline: Instant;
}

/** The promises of all sessions: made, used, renewed, cut, and ended. */
export class PromiseBook {
  private sequence = 0;
  /** None lapses before this; it may be earlier than the first that does. Null: there are none. */
  private earliest: Instant | null = null;

  constructor(
    private readonly pool: Pool,
    private readonly sessions: SessionTable,
    private readonly tenants: TenantTable,
  ) {}

  /** When to look for what has lapsed; null: there is nothing that could. */
  get next(): Instant | null {
    return this.earliest;
  }

  /** Throws GRANT_LIMIT. */
  checkRoom({ id, promises }: Session): void {
    if (promises.size < PROMISES_PER_SESSION_MAX) return;
    throw new KvspanError(
      'GRANT_LIMIT',
      `promises: session ${id} has ${promises.size}, allowed: ${PROMISES_PER_SESSION_MAX}`,
    );
  }

  make(session: Session, order: GrantOrder, { lapseMs }: PromiseTerms, now: Instant): Promised {
    const promise: Promised = {
      id: order.grant,
      session,
      lapseMs,
      sequence: (this.sequence += 1),
      bytes: 0n,
      deadline: now,
    };
    session.promises.set(promise.id, promise);
    this.change(promise, order.askedBytes);
    this.renew(promise, now);
    return promise;
  }

  /** Throws PROMISE_UNKNOWN for one that never was, has ended or has lapsed. */
  of(session: Session, id: GrantId): Promised {
    const promise = session.promises.get(id);
    if (promise !== undefined) return promise;
    throw new KvspanError(
      'PROMISE_UNKNOWN',
      `promise_id: session ${session.id} has no promise ${String(id)}: it ended, or has lapsed`,
      { field: 'promise_id' },
    );
  }

  /** So much of it is given out: the caller charges it. */
  use(promise: Promised, usedBytes: bigint, now: Instant): void {
    this.change(promise, -usedBytes);
    this.renew(promise, now);
  }

  /** What was given out of it has not arrived: it is promised again, if the promise is still there. */
  restore(promise: Promised, missingBytes: bigint): void {
    if (promise.session.promises.get(promise.id) === promise) this.change(promise, missingBytes);
  }

  /** Its client needs no more than this of it. Renewed; ended, if that is nothing. */
  keep(promise: Promised, leftBytes: bigint, now: Instant): void {
    if (typeof leftBytes !== 'bigint' || leftBytes < 0n || leftBytes % PAGE_BYTES !== 0n)
      throw badField('left_bytes', leftBytes, `a multiple of ${PAGE_BYTES} from 0`);
    if (leftBytes < promise.bytes) this.change(promise, leftBytes - promise.bytes);
    if (leftBytes === 0n) promise.session.promises.delete(promise.id);
    else this.renew(promise, now);
  }

  /** The session is no longer connected: nobody is there to use them. */
  endAll(session: Session): void {
    for (const promise of session.promises.values()) this.change(promise, -promise.bytes);
    session.promises.clear();
  }

  /** Ends those whose time is over. */
  lapse(now: Instant): Effect[] {
    if (this.earliest === null || this.earliest > now) return [];
    const all = [...this.sessions].flatMap(({ promises }) => [...promises.values()]);
    const effects = all
      .filter(({ deadline }) => deadline <= now)
      .map(promise => this.cut(promise, promise.bytes, 'lapsed'));
    this.earliest = null;
    for (const { promises } of this.sessions)
      for (const promise of promises.values()) this.lookBy(promise.deadline);
    return effects;
  }

  /**
   * Cuts so much of what tenants have borrowed, of those the furthest above their guarantees first;
   * there must be as much (`cuttableBytes`).
   */
  cutBorrowed(neededBytes: bigint, reason: CutReason): Effect[] {
    const tenants = [...this.tenants].filter(tenant => cuttableBytes(tenant) > 0n);
    const claims = tenants.map(tenant => ({
      atMostBytes: cuttableBytes(tenant),
      aboveBytes: borrowedBytes(tenant),
      weight: tenant.weight,
    }));
    const amounts = takeFromFurthest(claims, neededBytes, PAGE_BYTES);
    return tenants.flatMap((tenant, index) =>
      this.cutTenant(tenant, amounts[index] as bigint, reason),
    );
  }

  /** Cuts the latest of a tenant's promises: their requests have got the least far. */
  cutTenant(tenant: Tenant, wantedBytes: bigint, reason: CutReason): Effect[] {
    const own = [...this.sessions].filter(session => session.tenant === tenant);
    const promises = own.flatMap(session => [...session.promises.values()]);
    const effects: Effect[] = [];
    let left = wantedBytes;
    for (const promise of promises.toSorted((a, b) => b.sequence - a.sequence)) {
      if (left <= 0n) break;
      if (promise.bytes === 0n) continue;
      const size = promise.bytes < left ? promise.bytes : left;
      effects.push(this.cut(promise, size, reason));
      left -= size;
    }
    return effects;
  }

  /** What a guarantee could take back without asking anybody. */
  get cuttableBytes(): bigint {
    return [...this.tenants].reduce((sum, tenant) => sum + cuttableBytes(tenant), 0n);
  }

  private cut(promise: Promised, size: bigint, reason: CutReason): Effect {
    const { session, id } = promise;
    this.change(promise, -size);
    if (promise.bytes === 0n) session.promises.delete(id);
    const leftBytes = bytes(promise.bytes);
    return { kind: 'cut', session: session.id, promise: id, leftBytes, reason };
  }

  private change(promise: Promised, moreBytes: bigint): void {
    promise.bytes += moreBytes;
    this.pool.promise(promise.session, moreBytes);
  }

  private renew(promise: Promised, now: Instant): void {
    promise.deadline = instant(now + promise.lapseMs);
    this.lookBy(promise.deadline);
  }

  private lookBy(deadline: Instant): void {
    if (this.earliest === null || deadline < this.earliest) this.earliest = deadline;
  }
}
