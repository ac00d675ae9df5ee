import { takeFromFurthest } from './fair-share.js';
import type { AskedBack, Session } from './sessions.js';
import {
  borrowedBytes,
  cuttableBytes,
  claimedBytes,
  isGuaranteed,
  reservedBytes,
  type Tenant,
} from './tenants.js';
import { PAGE_BYTES, bytes, type Bytes, type Instant } from './types.js';
import type { Waiter, WaitingLine } from './waiting.js';

export interface ReclaimShare {
  readonly session: Session;
  readonly wantedBytes: Bytes;
  /** It, or a part of it, is another tenant's by guarantee. */
  readonly forGuarantee: boolean;
  /** Only what lies idle. */
  readonly idleOnly: boolean;
}

export interface Situation {
  readonly sessions: Iterable<Session>;
  readonly tenants: Iterable<Tenant>;
  readonly line: WaitingLine;
  /** Neither in use nor promised. */
  readonly freeBytes: bigint;
  readonly now: Instant;
}

/**
 * Whom to ask for what the waiting need beyond what is free and what is on its way.
 *
 * What a guarantee covers is asked of all that borrow, those the furthest above their fair share
 * first, waiting themselves or not. What the first of those who borrow needs is asked of tenants
 * that stay above its own share even then. What that does not bring is asked of the other tenants as
 * far as it lies idle, which takes nothing from anybody's requests, but not of what a held guarantee
 * covers; and, when nobody has anything idle any more, of its own tenant. Whom only its
 * tenant's limit keeps waiting is helped by its own tenant alone. Within a tenant the largest
 * sessions come down to one level and nobody below that level is asked.
 *
 * Promises that a guarantee may cut are as good as free, and nobody is asked for as much.
 *
 * Not the asker, who has given up its own idle memory before it asked; not who is being asked
 * already; not who is no longer connected. Others of the asker's tenant who wait for the pool
 * themselves are asked only if nobody else of it holds anything: they are as short as the asker. Who
 * was asked and brought nothing (it is frozen, or all its requests run) is asked again only for what the
 * others cannot have: else the largest, which stays the largest, would hide what is idle behind it.
 */
export function planReclaims(situation: Situation): ReclaimShare[] {
  const { freeBytes, sessions, now, line } = situation;
  const { guaranteedBytes, borrowedBytes: borrowing } = needs(situation);
  const coming = freeBytes + outstandingBytes(sessions, now);
  const all = guaranteedBytes + borrowing - coming;
  const cuttable = [...situation.tenants].reduce((sum, tenant) => sum + cuttableBytes(tenant), 0n);
  const forGuarantees = positive(guaranteedBytes - coming - cuttable);
  const plan = new Plan(sessions, now, line);
  const heads = line.heads();
  const short = forGuarantees - plan.takeAboveGuarantees(forGuarantees);
  const entitled = heads.find(isCovered);
  if (entitled !== undefined) plan.takeIdleThenOwn(entitled.session, short);
  const borrower = heads.find(waiter => !isCovered(waiter));
  if (borrower !== undefined) {
    const forGuaranteed = positive(guaranteedBytes - coming);
    plan.takeFor(borrower, all - forGuaranteed);
  }
  for (const waiter of line.aside()) plan.takeWithinLimit(waiter);
  return plan.shares();
}

const isCovered = ({ session, order }: Waiter): boolean =>
  isGuaranteed(session.tenant, order.roomBytes);

/** What sessions were asked for and still have time to bring: of idle memory alone, or of any. */
function outstandingBytes(sessions: Iterable<Session>, now: Instant, idleOnly = false): bigint {
  let total = 0n;
  for (const { askedBack } of sessions) {
    if (askedBack === null || askedBack.idleOnly !== idleOnly) continue;
    if (askedBack.deadline > now) total += askedBack.leftBytes;
  }
  return total;
}

export const broughtNothing = ({ leftBytes, wantedBytes }: AskedBack): boolean =>
  leftBytes === wantedBytes;

/** What waits for the pool needs at least; what is kept free for nobody else counts as needed too. */
function needs({ line, tenants }: Situation): { guaranteedBytes: bigint; borrowedBytes: bigint } {
  let [guaranteedBytes, borrowing] = [0n, 0n];
  const covered = new Map<Tenant, bigint>();
  for (const { tenant, waiters } of line.waitingForPool()) {
    let [total, inside] = [0n, 0n];
    for (const { order } of waiters) {
      total += order.roomBytes;
      if (isGuaranteed(tenant, total)) inside = total;
    }
    covered.set(tenant, inside);
    guaranteedBytes += inside;
    borrowing += total - inside;
  }
  for (const tenant of tenants) {
    guaranteedBytes += positive(reservedBytes(tenant) - (covered.get(tenant) ?? 0n));
  }
  return { guaranteedBytes, borrowedBytes: borrowing };
}

/** Why a session is asked: the first of these outweighs the others. */
type Why = 'guarantee' | 'share' | 'idle';

/** What is asked of whom, one step after the other; each sees what those before it have taken. */
class Plan {
  private readonly wanted = new Map<Session, bigint>();
  private readonly why = new Map<Session, Why>();
  /** Idle memory that was asked for before, and that nobody has counted on yet. */
  private idleComing: bigint;
  private readonly connected: readonly Session[];
  private readonly askable: readonly Session[];

  constructor(
    sessions: Iterable<Session>,
    private readonly now: Instant,
    private readonly line: WaitingLine,
  ) {
    this.idleComing = outstandingBytes(sessions, now, true);
    this.connected = [...sessions].filter(
      session => session.state === 'open' && session.heldBytes > 0n,
    );
    this.askable = this.connected.filter(session => !isAsked(session, now));
  }

  /** Of all tenants, what they hold above their guarantees. What came of it. */
  takeAboveGuarantees(neededBytes: bigint): bigint {
    return this.takeAbove(tenant => cuttableBytes(tenant), neededBytes, 'guarantee');
  }

  /** Of tenants that stay above the borrower's share even when it has what it needs; then elsewhere. */
  takeFor({ session, order }: Waiter, neededBytes: bigint): void {
    const { tenant } = session;
    const after = borrowedBytes(tenant) + order.roomBytes;
    const floor = (other: Tenant): bigint | null =>
      other === tenant ? null : (after * BigInt(other.weight)) / BigInt(tenant.weight);
    const taken = this.takeAbove(floor, neededBytes, 'share');
    this.takeIdleThenOwn(session, neededBytes - taken);
  }

  /** What lies idle with other tenants; what is known to be missing then, of the asker's own. */
  takeIdleThenOwn(asker: Session, neededBytes: bigint): void {
    if (neededBytes <= 0n) return;
    const coming = lesser(neededBytes, this.idleComing);
    this.idleComing -= coming;
    const taken = this.takeIdle(asker.tenant, neededBytes - coming);
    this.takeOfOwn(asker, neededBytes - coming - taken);
  }

  /** Of its own tenant, what its limit leaves too little for. */
  takeWithinLimit({ session, order }: Waiter): void {
    const { tenant } = session;
    const own = this.ofTenant(tenant);
    const coming = outstandingBytes(own, this.now) + this.takenOf(own);
    const left = tenant.limitBytes - claimedBytes(tenant);
    this.takeOfOwn(session, order.roomBytes - left - coming);
  }

  shares(): ReclaimShare[] {
    return Array.from(this.wanted, ([session, wantedBytes]) => ({
      session,
      wantedBytes: bytes(wantedBytes),
      forGuarantee: this.why.get(session) === 'guarantee',
      idleOnly: this.why.get(session) === 'idle',
    }));
  }

  /** Of tenants, what they have borrowed above `floor`; null: nothing of that one. What came of it. */
  private takeAbove(
    floor: (tenant: Tenant) => bigint | null,
    neededBytes: bigint,
    why: Why,
  ): bigint {
    if (neededBytes <= 0n) return 0n;
    const claims = [...this.byTenant()].flatMap(([tenant, sessions]) => {
      const least = floor(tenant);
      const onItsWay = outstandingBytes(this.ofTenant(tenant), this.now);
      const above = borrowedBytes(tenant) - onItsWay - this.takenOf(sessions) - (least ?? 0n);
      const most = sessions.reduce((total, session) => total + this.leftOf(session), 0n);
      if (least === null || above <= 0n) return [];
      return [
        { sessions, aboveBytes: above, atMostBytes: lesser(above, most), weight: tenant.weight },
      ];
    });
    const amounts = takeFromFurthest(claims, neededBytes, PAGE_BYTES);
    let taken = 0n;
    for (const [index, { sessions }] of claims.entries())
      taken += this.take(sessions, amounts[index] as bigint, why);
    return taken;
  }

  /**
   * Of other tenants than this one. How much of it is idle only they know: who said that nothing is
   * is not asked at once again, and who did not answer is asked, but not counted on.
   */
  private takeIdle(tenant: Tenant, neededBytes: bigint): bigint {
    const idlers = this.askable.filter(
      session =>
        session.tenant !== tenant &&
        session.idleNotBefore <= this.now &&
        !this.wanted.has(session) &&
        !this.line.contends(session),
    );
    const silent = idlers.filter(({ askedBack }) => askedBack?.idleOnly === true);
    const taken = this.takeIdleOf(
      idlers.filter(session => !silent.includes(session)),
      neededBytes,
    );
    this.takeIdleOf(silent, neededBytes - taken);
    return taken;
  }

  /** First of those of whom all will do; then of what is above a held guarantee. */
  private takeIdleOf(among: readonly Session[], neededBytes: bigint): bigint {
    let taken = this.takeDown(
      this.holdersOf(among.filter(({ tenant }) => !tenant.held)),
      neededBytes,
      'idle',
    );
    for (const holder of new Set(among.map(({ tenant }) => tenant))) {
      if (!holder.held) continue;
      const own = this.ofTenant(holder);
      const above = borrowedBytes(holder) - outstandingBytes(own, this.now) - this.takenOf(own);
      const most = lesser(above, neededBytes - taken);
      const holders = this.holdersOf(among.filter(({ tenant }) => tenant === holder));
      taken += this.takeDown(holders, most, 'idle');
    }
    return taken;
  }

  /** Of the asker's own tenant. */
  private takeOfOwn(asker: Session, neededBytes: bigint): void {
    if (neededBytes <= 0n) return;
    const connected = this.ofTenant(asker.tenant);
    const content = connected.filter(session => !this.line.contends(session));
    const among = content.length > 0 ? content : connected.filter(session => session !== asker);
    const askable = among.filter(session => !isAsked(session, this.now));
    this.take(askable, neededBytes, 'share');
  }

  private take(among: readonly Session[], neededBytes: bigint, why: Why): bigint {
    if (neededBytes <= 0n) return 0n;
    const holders = this.holdersOf(among);
    const willing = holders.filter(session => !isBarren(session));
    const taken = this.takeDown(willing, neededBytes, why);
    if (taken >= neededBytes) return taken;
    return taken + this.takeDown(holders.filter(isBarren), neededBytes - taken, why);
  }

  /** Those that have anything left and are not asked for idle memory alone, the largest first. */
  private holdersOf(among: readonly Session[]): Session[] {
    const holders = among.filter(
      session => this.leftOf(session) > 0n && this.why.get(session) !== 'idle',
    );
    return holders.toSorted((a, b) => this.largerFirst(a, b));
  }

  /** `holders`: the largest first. */
  private takeDown(holders: readonly Session[], neededBytes: bigint, why: Why): bigint {
    if (neededBytes <= 0n) return 0n;
    const holdings = holders.map(session => this.leftOf(session));
    const level = levelThatFrees(holdings, neededBytes);
    let taken = 0n;
    for (const [index, session] of holders.entries()) {
      const held = holdings[index] as bigint;
      if (held <= level) break;
      const share = wholePages(held - level);
      this.wanted.set(session, (this.wanted.get(session) ?? 0n) + share);
      if (this.why.get(session) !== 'guarantee') this.why.set(session, why);
      taken += share;
    }
    return taken;
  }

  private byTenant(): Map<Tenant, Session[]> {
    const groups = new Map<Tenant, Session[]>();
    for (const session of this.askable) {
      const group = groups.get(session.tenant);
      if (group === undefined) groups.set(session.tenant, [session]);
      else group.push(session);
    }
    return groups;
  }

  private ofTenant(tenant: Tenant): Session[] {
    return this.connected.filter(session => session.tenant === tenant);
  }

  private takenOf(sessions: readonly Session[]): bigint {
    return sessions.reduce((total, session) => total + (this.wanted.get(session) ?? 0n), 0n);
  }

  private leftOf(session: Session): bigint {
    return session.heldBytes - (this.wanted.get(session) ?? 0n);
  }

  private largerFirst(a: Session, b: Session): number {
    const [left, right] = [this.leftOf(a), this.leftOf(b)];
    if (left === right) return Number(a.id - b.id);
    return left > right ? -1 : 1;
  }
}

const positive = (value: bigint): bigint => (value > 0n ? value : 0n);
const lesser = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** Of a session that is not being asked: what it was asked before is over, answered or not. */
const isBarren = ({ barren, askedBack }: Session): boolean =>
  barren || (askedBack !== null && !askedBack.idleOnly && broughtNothing(askedBack));

function isAsked({ askedBack }: Session, now: Instant): boolean {
  return askedBack !== null && (askedBack.deadline > now || askedBack.forGuarantee);
}

/** The level to which the largest must come down to free `neededBytes`; 0: all of them, wholly. */
function levelThatFrees(holdings: readonly bigint[], neededBytes: bigint): bigint {
  let total = 0n;
  for (const [index, held] of holdings.entries()) {
    total += held;
    const count = BigInt(index + 1);
    const next = holdings[index + 1] ?? 0n;
    if (total - count * next >= neededBytes) return (total - neededBytes) / count;
  }
  return 0n;
}

function wholePages(value: bigint): Bytes {
  return bytes(((value + PAGE_BYTES - 1n) / PAGE_BYTES) * PAGE_BYTES);
}
