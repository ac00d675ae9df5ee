/** The model at work: who is met when memory has come free, and what is taken out of promises. */
import { ModelLine, total } from './model-line.js';
import { type ModelCut, type ModelPromise, type ModelWaiter } from './model-types.js';

export class ModelServing extends ModelLine {
  now = 0;
  /**
   * `grant S G pages...`, `promised S P pages`, `cut S P 0 lapsed` and `refuse S G CODE`, in order, of
   * the last operation.
   */
  said: string[] = [];
  /**
   * Whose promises are cut for whom is policy, so the model is told: by `session grant`, what goes
   * before that is met. That it must be done, and how much, is law.
   */
  cutsBefore = new Map<string, ModelCut[]>();
  /** What a change of entitlements cuts. */
  cutsOfChange: ModelCut[] = [];
  protected extentIds = 0n;
  private lastCut: number[] = [];

  /** Looks along the line from its beginning, again after every grant. */
  protected serve(): void {
    for (const [session, level] of this.overdue) {
      if (this.held(session) <= level) this.overdue.delete(session);
    }
    for (let heads = this.heads(); heads[0] !== undefined; heads = this.heads()) {
      const head = heads[0];
      const { session, grant, lapse } = head;
      const fits = (): number[] | null =>
        this.cut(head.pieces, head.needed, this.roomOf(head, heads));
      const pieces = fits() ?? (this.cutFor(head) ? fits() : null);
      if (pieces === null) return;
      this.waiting = this.waiting.filter(waiter => waiter !== head);
      if (lapse === null) this.issue(session, grant, pieces, null);
      else {
        const size = total(pieces);
        this.promises.push({ session, id: grant, lapse, pages: size, deadline: this.now + lapse });
        this.said.push(`promised ${session} ${grant} ${size}`);
      }
    }
  }

  protected draw(
    promise: ModelPromise,
    grant: bigint,
    pieces: readonly number[],
    needed: number,
  ): void {
    const taken = this.cut(pieces, needed, promise.pages);
    this.refuseIf(taken === null, 'INVALID_ARGUMENT');
    promise.pages -= total(taken as number[]);
    promise.deadline = this.now + promise.lapse;
    this.issue(promise.session, grant, taken as number[], promise);
  }

  private issue(
    session: bigint,
    grant: bigint,
    pieces: readonly number[],
    promise: ModelPromise | null,
  ): void {
    const ids = pieces.map(() => (this.limits.epoch << 40n) | (this.extentIds += 1n));
    ids.forEach((id, index) =>
      this.extents.push({ id, pages: pieces[index] as number, session, grant, returned: false }),
    );
    this.flights.push({ session, grant, ids, promise });
    this.said.push(
      `grant ${session} ${grant} ${ids.map((id, index) => `${id}/${pieces[index]}`).join(' ')}`,
    );
  }

  /** True: promises were cut so that a guarantee has what is its own. No more than it takes. */
  private cutFor(head: ModelWaiter): boolean {
    const missing = this.missing(this.tenantOf(head.session), this.roomNeeded(head));
    const cuttable = total(this.limits.tenants.map(tenant => this.cuttable(tenant)));
    const must = this.isCovered(head) && missing > 0 && missing <= cuttable;
    const cuts = this.cutsBefore.get(`${head.session} ${head.grant}`);
    if (must !== (cuts !== undefined))
      throw new Error(`promises are ${must ? 'not ' : ''}cut for grant ${head.grant}`);
    if (cuts === undefined) return false;
    this.apply(cuts, missing);
    return true;
  }

  protected cutForChange(): void {
    const { tenants } = this.limits;
    const above = tenants.map(tenant =>
      Math.min(this.promisedTo(tenant), Math.max(0, this.claimed(tenant) - tenant.limit)),
    );
    const short = total(tenants.map(tenant => this.reserved(tenant)));
    const lacking = Math.max(0, short - (this.free() - this.promised()));
    this.apply(this.cutsOfChange, null);
    const most = total(above) + lacking + tenants.length;
    const unmet = tenants.some(one => this.claimed(one) > one.limit && this.promisedTo(one) > 0);
    const lent = total(tenants.map(one => this.reserved(one))) > this.free() - this.promised();
    const left = total(tenants.map(one => this.cuttable(one)));
    const cut = total(this.lastCut);
    if (unmet || (lent && left > 0) || cut > most)
      throw new Error(`${cut} pages of promises were cut for other entitlements`);
  }

  /** `needed`: all of it, and no more than a page for each tenant beside; of what is borrowed alone. */
  private apply(cuts: readonly ModelCut[], needed: number | null): void {
    this.lastCut = [];
    const before = this.limits.tenants.map(tenant => this.cuttable(tenant));
    for (const { session, id, left } of cuts) {
      const promise = this.promises.find(one => one.session === session && one.id === id);
      if (promise === undefined || left >= promise.pages)
        throw new Error(`promise ${id} of session ${session} is cut to ${left}`);
      this.lastCut.push(promise.pages - left);
      promise.pages = left;
      if (left === 0) this.promises = this.promises.filter(other => other !== promise);
    }
    if (needed === null) return;
    const most = needed + this.limits.tenants.length;
    const after = this.limits.tenants.map(tenant => this.cuttable(tenant));
    const borrowed = total(before) - total(after);
    const cut = total(this.lastCut);
    if (cut < needed || cut > most || borrowed !== cut)
      throw new Error(
        `${cut} pages of promises, ${borrowed} of them borrowed, are cut for ${needed}`,
      );
  }

  protected promiseOf(session: bigint, id: bigint): ModelPromise {
    const promise = this.promises.find(one => one.session === session && one.id === id);
    this.refuseIf(promise === undefined, 'PROMISE_UNKNOWN');
    return promise as ModelPromise;
  }

  /** No grant and no promise of the session has this number. */
  protected mustBeNew(session: bigint, grant: bigint): void {
    const mine = [...this.flights, ...this.waiting].filter(other => other.session === session);
    const promised = this.promises.some(one => one.session === session && one.id === grant);
    this.refuseIf(promised || mine.some(other => other.grant === grant), 'GRANT_DUPLICATE');
    this.refuseIf(mine.length >= this.limits.inFlightMax, 'GRANT_LIMIT');
  }

  protected leave(waiter: ModelWaiter, code: string): void {
    this.waiting = this.waiting.filter(other => other !== waiter);
    this.said.push(`refuse ${waiter.session} ${waiter.grant} ${code}`);
  }
}
