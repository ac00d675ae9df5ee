/** The model's state, who stands where in its line for memory, and how much each may have. */

import { claim, reserved, type Claim } from './model-tenants.js';
import {
  type ModelCache,
  type ModelExtent,
  type ModelFlight,
  type ModelLimits,
  type ModelPromise,
  type ModelSession,
  type ModelTenant,
  type ModelWaiter,
  ModelRefusal,
} from './model-types.js';

export const total = (numbers: readonly number[]): number =>
  numbers.reduce((sum, number) => sum + number, 0);

export class ModelLine {
  sessions: ModelSession[] = [];
  extents: ModelExtent[] = [];
  /** Oldest first. */
  waiting: ModelWaiter[] = [];
  flights: ModelFlight[] = [];
  caches: ModelCache[] = [];
  /** Oldest first. */
  promises: ModelPromise[] = [];
  /** Who owes what a guarantee needed, until it holds no more than this. */
  overdue = new Map<bigint, number>();

  constructor(readonly limits: ModelLimits) {}

  used(): number {
    let used = 0;
    for (const extent of this.extents) used += extent.pages;
    return used;
  }

  held(session: bigint): number {
    let held = 0;
    for (const extent of this.extents) if (extent.session === session) held += extent.pages;
    return held;
  }

  promised(session?: bigint): number {
    let promised = 0;
    for (const one of this.promises)
      if (session === undefined || one.session === session) promised += one.pages;
    return promised;
  }

  free(): number {
    return this.limits.poolPages - this.used();
  }

  tenantOf(session: bigint): ModelTenant {
    return this.sessions.find(({ id }) => id === session)?.tenant as ModelTenant;
  }

  heldByTenant(tenant: ModelTenant): number {
    let held = 0;
    for (const one of this.sessions) if (one.tenant === tenant) held += this.held(one.id);
    return held;
  }

  promisedTo(tenant: ModelTenant): number {
    let promised = 0;
    for (const one of this.sessions) if (one.tenant === tenant) promised += this.promised(one.id);
    return promised;
  }

  /** What it holds, or is promised. */
  claimed(tenant: ModelTenant): number {
    return this.heldByTenant(tenant) + this.promisedTo(tenant);
  }

  /** Of what it borrows, what is only promised. */
  cuttable(tenant: ModelTenant): number {
    const borrowed = Math.max(0, this.claimed(tenant) - tenant.guaranteed);
    return Math.min(borrowed, this.promisedTo(tenant));
  }

  /** Kept free for this tenant and nobody else, beside what it is promised. */
  reserved(tenant: ModelTenant): number {
    return reserved(tenant, this.claimed(tenant));
  }

  /** The first in line that only the pool keeps waiting. */
  poolHead(): ModelWaiter | null {
    return this.heads()[0] ?? null;
  }

  /** The first of each tenant that only the pool keeps waiting, in the order in which they are next. */
  heads(): ModelWaiter[] {
    if (this.waiting.length === 0) return [];
    const heads = this.limits.tenants.flatMap(tenant => {
      const first = this.firstOf(tenant);
      return first !== null && this.tenantAllows(first) ? [first] : [];
    });
    if (heads.length < 2) return heads;
    const claims = new Map(heads.map(head => [head, this.claimOf(head)]));
    return heads.toSorted((a, b) => {
      const [x, y] = [claims.get(a) as Claim, claims.get(b) as Claim];
      return (
        x.rank - y.rank || x.share - y.share || this.waiting.indexOf(a) - this.waiting.indexOf(b)
      );
    });
  }

  /** Of each session its first, unless its own quota forbids it; who owes something after the others. */
  firstOf(tenant: ModelTenant): ModelWaiter | null {
    const seen = new Set<bigint>();
    const firsts: ModelWaiter[] = [];
    for (const waiter of this.waiting) {
      if (seen.has(waiter.session) || this.tenantOf(waiter.session) !== tenant) continue;
      seen.add(waiter.session);
      const left = this.quotaLeft(waiter.session);
      if (this.cut(waiter.pieces, waiter.needed, left) !== null) firsts.push(waiter);
    }
    return firsts.find(({ session }) => !this.overdue.has(session)) ?? firsts[0] ?? null;
  }

  /** True if the tenant's limit keeps somebody else of it waiting, whom this session could help. */
  isAside(tenant: ModelTenant, session: bigint): boolean {
    const first = this.firstOf(tenant);
    return first !== null && first.session !== session && !this.tenantAllows(first);
  }

  /** True if its tenant's guarantee covers it. */
  isCovered(waiter: ModelWaiter): boolean {
    const tenant = this.tenantOf(waiter.session);
    return this.claimed(tenant) + this.roomNeeded(waiter) <= tenant.guaranteed;
  }

  /** With so much it is certainly met. */
  roomNeeded({ pieces, needed }: ModelWaiter): number {
    return this.cut(pieces, needed, needed) === null ? total(pieces) : needed;
  }

  protected quotaLeft(session: bigint): number {
    return this.limits.sessionPages - this.held(session) - this.promised(session);
  }

  /** Breaks the largest piece that does not fit into halves, again and again. */
  protected cut(pieces: readonly number[], needed: number, available: number): number[] | null {
    let left = pieces.toSorted((a, b) => b - a);
    if (total(left) <= available) return left;
    if (needed > available) return null;
    const taken: number[] = [];
    while (left.length > 0 && taken.length < this.limits.extentsMax) {
      const [largest, ...rest] = left as [number, ...number[]];
      const fits = largest <= available - total(taken);
      if (fits) taken.push(largest);
      left =
        fits || largest === 1
          ? rest
          : [largest / 2, largest / 2, ...rest].toSorted((a, b) => b - a);
    }
    return total(taken) >= needed ? taken : null;
  }

  protected claimOf(waiter: ModelWaiter): Claim {
    const tenant = this.tenantOf(waiter.session);
    const claimed = this.claimed(tenant);
    return claim(tenant, claimed, this.isCovered(waiter), this.overdue.has(waiter.session));
  }

  protected tenantAllows({ session, pieces, needed }: ModelWaiter): boolean {
    const tenant = this.tenantOf(session);
    if (tenant.limit >= this.limits.poolPages) return true;
    return this.cut(pieces, needed, tenant.limit - this.claimed(tenant)) !== null;
  }

  protected freeFor(tenant: ModelTenant): number {
    return Math.max(0, -this.missing(tenant, 0));
  }

  /** What must come free before the tenant can have so much. */
  protected missing(tenant: ModelTenant, wanted: number): number {
    const others = this.limits.tenants.filter(other => other !== tenant);
    const unpromised = this.free() - this.promised();
    return wanted - unpromised + total(others.map(other => this.reserved(other)));
  }

  protected whyNever(session: bigint, pieces: readonly number[], needed: number): string | null {
    const { poolPages, sessionPages, tenants } = this.limits;
    const tenant = this.tenantOf(session);
    const fits = (room: number): boolean => this.cut(pieces, needed, room) !== null;
    if (!fits(sessionPages)) return 'QUOTA_EXHAUSTED';
    if (tenant.limit < poolPages && !fits(tenant.limit)) return 'TENANT_LIMIT';
    const kept = tenants.filter(other => other !== tenant && other.kept);
    return fits(poolPages - total(kept.map(other => other.guaranteed))) ? null : 'POOL_EXHAUSTED';
  }

  /** What the first in line may have: of a guarantee that puts it first no more than that. */
  protected roomOf(head: ModelWaiter, heads: readonly ModelWaiter[]): number {
    const tenant = this.tenantOf(head.session);
    const held = this.claimed(tenant);
    const bounds = [this.freeFor(tenant), this.quotaLeft(head.session)];
    if (tenant.limit < this.limits.poolPages) bounds.push(tenant.limit - held);
    if (heads.length > 1 && this.isCovered(head)) bounds.push(tenant.guaranteed - held);
    return Math.min(...bounds);
  }

  protected whyNot({ session, pieces, needed }: ModelWaiter): string {
    const first = this.waiting.find(waiter => waiter.session === session);
    const left = this.quotaLeft(session);
    const byQuota =
      this.cut(pieces, needed, left) === null ||
      (first !== undefined && this.cut(first.pieces, first.needed, left) === null);
    if (byQuota) return 'QUOTA_EXHAUSTED';
    const asked = { session, pieces, needed } as ModelWaiter;
    const before = this.firstOf(this.tenantOf(session)) ?? asked;
    return this.tenantAllows(asked) && this.tenantAllows(before)
      ? 'POOL_EXHAUSTED'
      : 'TENANT_LIMIT';
  }

  protected refuseIf(condition: boolean, code: string): void {
    if (condition) throw new ModelRefusal(code);
  }
}
