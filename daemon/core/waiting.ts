import { KvspanError } from '../../proto/errors.js';
import { Deadlines } from './deadlines.js';
import type { GrantOrder } from './grants.js';
import { hasPrecedence } from './precedence.js';
import type { Session } from './sessions.js';
import type { Tenant } from './tenants.js';
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

export interface LineRules {
  /** False: only its own session's returns can help it. */
  sessionAllows(waiter: Waiter): boolean;
  /** False: only its own tenant's returns can help it. */
  tenantAllows(waiter: Waiter): boolean;
}

/**
 * The line for memory. Within a tenant: first come, first served, with one exception. A session
 * whose first waiting grant its own quota forbids stands aside, and keeps its place, until it has
 * returned enough; so nobody waits for what only another session's own returns can bring. In the same
 * way a tenant stands aside whose first waiting grant its limit forbids. Between tenants
 * `hasPrecedence` says whose first is next. Behind the first who waits for the pool everybody waits,
 * however little he wants: else the small would starve the large.
 */
export class WaitingLine {
  /** Of each tenant the first waiting grant of each session that does not stand aside, by sequence. */
  private readonly queues = new Map<Tenant, Waiter[]>();
  private readonly deadlines = new Deadlines();
  private sequence = 0;
  private total = 0;
  private totalBytes = 0n;

  constructor(private readonly rules: LineRules) {}

  get count(): number {
    return this.total;
  }

  get bytes(): bigint {
    return this.totalBytes;
  }

  /** Who is next, once the pool has room; null: nobody waits for the pool. Linear in the tenants. */
  get head(): Waiter | null {
    let head: Waiter | null = null;
    for (const tenant of this.queues.keys()) {
      const first = this.firstAllowed(tenant);
      if (first !== null && (head === null || hasPrecedence(first, head))) head = first;
    }
    return head;
  }

  /** The first of each tenant, in the order in which they are next. */
  heads(): Waiter[] {
    const heads = [...this.queues.keys()].flatMap(tenant => this.firstAllowed(tenant) ?? []);
    return heads.toSorted((a, b) => (hasPrecedence(a, b) ? -1 : 1));
  }

  /** The first of a tenant, who comes before all of it that ask later; null: none waits. */
  firstOf(tenant: Tenant): Waiter | null {
    const queue = this.queues.get(tenant) ?? [];
    // Who owes what a guarantee needed is served after the others.
    return queue.find(({ session }) => session.overdueAboveBytes === null) ?? queue[0] ?? null;
  }

  /** The first of each tenant that stands aside because of its limit. */
  aside(): Waiter[] {
    return [...this.queues.keys()].flatMap(tenant => {
      const first = this.firstOf(tenant);
      return first !== null && !this.rules.tenantAllows(first) ? [first] : [];
    });
  }

  /** True if what others give back would help somebody. */
  get isHelpable(): boolean {
    return this.queues.size > 0;
  }

  /** True if another tenant waits for the pool as well. */
  hasRivals(tenant: Tenant): boolean {
    for (const other of this.queues.keys())
      if (other !== tenant && this.firstAllowed(other) !== null) return true;
    return false;
  }

  /** Who waits for the pool, tenant by tenant, none of them empty. */
  *waitingForPool(): IterableIterator<{ tenant: Tenant; waiters: readonly Waiter[] }> {
    for (const [tenant, waiters] of this.queues) {
      if (this.firstAllowed(tenant) !== null) yield { tenant, waiters };
    }
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
    const allowed = this.rules.sessionAllows(first);
    if (allowed && !contends) {
      const queue = this.queueOf(session.tenant);
      queue.splice(indexIn(queue, first), 0, first);
    }
    if (!allowed && contends) this.stepAside(first);
  }

  /** True if nothing but the pool or its tenant's limit, and who came before, keeps it waiting. */
  contends(session: Session): boolean {
    const first = session.waiting[0];
    const queue = this.queues.get(session.tenant);
    return first !== undefined && queue !== undefined && queue[indexIn(queue, first)] === first;
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
      .filter(waiter => this.rules.sessionAllows(waiter));
    firsts.sort((a, b) => a.sequence - b.sequence);
    const contenders = [...this.queues.values()].flat();
    const same =
      firsts.length === contenders.length &&
      [...this.queues].every(([tenant, queue]) => {
        const own = firsts.filter(({ session }) => session.tenant === tenant);
        return own.every((waiter, index) => waiter === queue[index]);
      });
    const waiting = all.reduce((total, session) => total + session.waiting.length, 0);
    if (!same || waiting !== this.total) {
      throw new KvspanError(
        'INTERNAL',
        `ledger: ${contenders.length} contend of ${this.total} waiting, ` +
          `should be ${firsts.length} of ${waiting}`,
      );
    }
  }

  private firstAllowed(tenant: Tenant): Waiter | null {
    const first = this.firstOf(tenant);
    return first !== null && this.rules.tenantAllows(first) ? first : null;
  }

  private queueOf(tenant: Tenant): Waiter[] {
    const known = this.queues.get(tenant);
    if (known !== undefined) return known;
    const queue: Waiter[] = [];
    this.queues.set(tenant, queue);
    return queue;
  }

  private stepAside(waiter: Waiter): void {
    const { tenant } = waiter.session;
    const queue = this.queues.get(tenant) ?? [];
    const index = indexIn(queue, waiter);
    if (queue[index] === waiter) queue.splice(index, 1);
    if (queue.length === 0) this.queues.delete(tenant);
  }
}

/** Where the waiter stands in a queue that is sorted by sequence, or would. */
function indexIn(queue: readonly Waiter[], waiter: Waiter): number {
  let [low, high] = [0, queue.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((queue[middle] as Waiter).sequence < waiter.sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}
