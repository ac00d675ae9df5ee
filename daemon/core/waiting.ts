import { KvspanError } from '../../proto/errors.js';
import { Deadlines } from './deadlines.js';
import type { GrantOrder } from './grants.js';
import type { Session } from './sessions.js';
import { instant, type GrantId, type Instant } from './types.js';

/** A grant that waits. */
export interface Waiter {
  readonly session: Session;
  readonly order: GrantOrder;
  readonly deadline: Instant;
  /** Who came before whom. */
  readonly sequence: number;
  gone: boolean;
}

/**
 * The line for memory: first come, first served, with one exception. A session whose first waiting
 * grant its own quota forbids stands aside, and keeps its place, until it has returned enough; so
 * nobody waits for what only another session's own returns can bring. Behind the first who waits
 * for the pool everybody waits, however little he wants: else the small would starve the large.
 */
export class WaitingLine {
  /** The first waiting grant of each session that does not stand aside, by sequence. */
  private readonly contenders: Waiter[] = [];
  private readonly deadlines = new Deadlines();
  private sequence = 0;
  private total = 0;
  private totalBytes = 0n;

  constructor(private readonly quotaAllows: (waiter: Waiter) => boolean) {}

  get count(): number {
    return this.total;
  }

  get bytes(): bigint {
    return this.totalBytes;
  }

  /** Who is next, once the pool has room; null: nobody waits for the pool. */
  get head(): Waiter | null {
    return this.contenders[0] ?? null;
  }

  /** What all that wait for the pool need at least. Linear in them: at most one a session. */
  neededBytes(): bigint {
    return this.contenders.reduce((total, waiter) => total + waiter.order.neededBytes, 0n);
  }

  join(session: Session, order: GrantOrder, now: Instant): Waiter {
    const deadline = instant(now + order.waitMs);
    const waiter: Waiter = {
      session,
      order,
      deadline,
      sequence: (this.sequence += 1),
      gone: false,
    };
    session.waiting.push(waiter);
    this.total += 1;
    this.totalBytes += order.askedBytes;
    this.deadlines.push(waiter);
    this.refresh(session);
    return waiter;
  }

  /** Granted, refused or cancelled. */
  leave(waiter: Waiter): void {
    const { session, order } = waiter;
    this.stepAside(waiter);
    session.waiting.splice(session.waiting.indexOf(waiter), 1);
    waiter.gone = true;
    this.total -= 1;
    this.totalBytes -= order.askedBytes;
    this.deadlines.depart();
    this.refresh(session);
  }

  find(session: Session, grant: GrantId): Waiter | null {
    return session.waiting.find(waiter => waiter.order.grant === grant) ?? null;
  }

  /** To be called whenever what the session holds, or its first waiter, has changed. */
  refresh(session: Session): void {
    const first = session.waiting[0];
    if (first === undefined) return;
    const contends = this.contends(session);
    const allowed = this.quotaAllows(first);
    if (allowed && !contends) this.contenders.splice(this.indexOf(first), 0, first);
    if (!allowed && contends) this.stepAside(first);
  }

  /** True if nothing but the pool, and who came before, keeps the session waiting. */
  contends(session: Session): boolean {
    const first = session.waiting[0];
    return first !== undefined && this.contenders[this.indexOf(first)] === first;
  }

  /** The next who must leave. */
  firstToExpire(): Waiter | null {
    return this.deadlines.first();
  }

  /** Throws unless exactly the first waiters that their quota allows contend, in their order. */
  check(sessions: Iterable<Session>): void {
    const all = [...sessions];
    const firsts = all
      .flatMap(session => session.waiting.slice(0, 1))
      .filter(waiter => this.quotaAllows(waiter));
    firsts.sort((a, b) => a.sequence - b.sequence);
    const same =
      firsts.length === this.contenders.length &&
      firsts.every((waiter, index) => waiter === this.contenders[index]);
    const waiting = all.reduce((total, session) => total + session.waiting.length, 0);
    if (!same || waiting !== this.total) {
      throw new KvspanError(
        'INTERNAL',
        `ledger: ${this.contenders.length} contend of ${this.total} waiting, ` +
          `should be ${firsts.length} of ${waiting}`,
      );
    }
  }

  private stepAside(waiter: Waiter): void {
    const index = this.indexOf(waiter);
    if (this.contenders[index] === waiter) this.contenders.splice(index, 1);
  }

  /** Where the waiter stands among the contenders, or would. */
  private indexOf(waiter: Waiter): number {
    let [low, high] = [0, this.contenders.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.contenders[middle] as Waiter).sequence < waiter.sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
