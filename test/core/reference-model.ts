/**
 * The ledger's rules once more, as plainly as they can be said: flat lists, everything counted anew
 * at every question, pages instead of bytes, no indexes, no shared code. Slow and obviously right;
 * the simulation holds the ledger against it. Reclaims are not predicted here but checked as
 * properties by the simulation: whom to ask is policy, who gets what is law.
 */
import { total } from './model-line.js';
import { ModelServing } from './model-serving.js';
import {
  type ModelCache,
  type ModelExtent,
  type ModelFlight,
  type ModelProcess,
  type ModelSession,
  type ModelTenant,
  ModelRefusal,
} from './model-types.js';

/** Of the simulation's caches. */
const TOKENS_PER_PAGE = 1_024;

export class ReferenceModel extends ModelServing {
  draining = false;
  /** Of the tenants' entitlements. */
  revision = 1n;
  private sessionIds = 0n;
  private cacheIds = 0n;

  open(process: ModelProcess): bigint {
    this.refuseIf(this.draining, 'DRAINING');
    const { tenants } = this.limits;
    const tenant =
      tenants.find(({ uid }) => uid === process.uid) ?? tenants.find(({ uid }) => uid === null);
    this.refuseIf(tenant === undefined, 'TENANT_UNKNOWN');
    const evicted = this.sessions.filter(one => one.evicted && one.state !== 'exited');
    this.refuseIf(
      evicted.some(one => one.process.pid === process.pid && one.process.uid === process.uid),
      'SESSION_EVICTED',
    );
    this.refuseIf(this.sessions.length >= this.limits.sessionsMax, 'SESSION_LIMIT');
    this.sessionIds += 1n;
    const id = this.sessionIds;
    const standing = { state: 'open', evicted: false } as const;
    this.sessions.push({ id, process, tenant: tenant as ModelTenant, ...standing });
    return this.sessionIds;
  }

  request(
    session: bigint,
    grant: bigint,
    pieces: readonly number[],
    minimum: number,
    waitMs: number,
    promise: bigint | null = null,
  ): void {
    this.mustBe(session, ['open']);
    this.refuseIf(this.draining, 'DRAINING');
    const asked = total(pieces);
    this.refuseIf(
      grant === 0n || pieces.length < 1 || pieces.length > this.limits.extentsMax,
      'INVALID_ARGUMENT',
    );
    this.refuseIf(
      minimum > asked || waitMs < 0 || waitMs > this.limits.waitMsMax,
      'INVALID_ARGUMENT',
    );
    this.mustBeNew(session, grant);
    const needed = minimum === 0 ? asked : minimum;
    if (promise !== null) {
      this.draw(this.promiseOf(session, promise), grant, pieces, needed);
      return;
    }
    this.line(session, grant, pieces, needed, waitMs, null);
  }

  /** Room for one slot of `pages` of the cache, of which `mapped` are there already. */
  reserve(
    session: bigint,
    id: bigint,
    wanted: { cache: bigint; tokens: number; mapped: number; lapse: number },
    waitMs: number,
  ): void {
    this.mustBe(session, ['open']);
    this.refuseIf(this.draining, 'DRAINING');
    const cache = this.caches.find(one => one.id === wanted.cache && one.session === session);
    this.refuseIf(cache === undefined, 'CACHE_UNKNOWN');
    const most = (cache as ModelCache).pages * TOKENS_PER_PAGE;
    const pages = Math.ceil(wanted.tokens / TOKENS_PER_PAGE);
    this.refuseIf(wanted.tokens < 1 || wanted.tokens > most, 'INVALID_ARGUMENT');
    this.refuseIf(wanted.mapped < 0 || wanted.mapped >= pages, 'INVALID_ARGUMENT');
    this.refuseIf(
      id === 0n || waitMs < 0 || waitMs > this.limits.waitMsMax || wanted.lapse < 1,
      'INVALID_ARGUMENT',
    );
    this.mustBeNew(session, id);
    const size = pages - wanted.mapped;
    this.line(session, id, [size], size, waitMs, wanted.lapse);
  }

  keep(session: bigint, id: bigint, left: number): void {
    this.mustBe(session, ['open']);
    const promise = this.promiseOf(session, id);
    this.refuseIf(left < 0, 'INVALID_ARGUMENT');
    promise.pages = Math.min(promise.pages, left);
    promise.deadline = this.now + promise.lapse;
    if (left === 0) this.promises = this.promises.filter(other => other !== promise);
    this.serve();
  }

  /** Joins the line; met, refused for good, or waiting. */
  private line(
    session: bigint,
    grant: bigint,
    pieces: readonly number[],
    needed: number,
    waitMs: number,
    lapse: number | null,
  ): void {
    const never = this.whyNever(session, pieces, needed);
    if (never !== null) throw new ModelRefusal(never);
    const waiter = {
      session,
      grant,
      pieces: pieces.toSorted((a, b) => b - a),
      needed,
      deadline: this.now + waitMs,
      lapse,
    };
    this.waiting.push(waiter);
    this.serve();
    if (waitMs > 0 || !this.waiting.includes(waiter)) return;
    this.waiting = this.waiting.filter(other => other !== waiter);
    throw new ModelRefusal(this.whyNot(waiter));
  }

  cancel(session: bigint, grant: bigint): boolean {
    this.mustBe(session, ['open']);
    const waiter = this.waiting.find(other => other.session === session && other.grant === grant);
    if (waiter === undefined) return false;
    this.leave(waiter, 'GRANT_CANCELLED');
    this.serve();
    return true;
  }

  settle(session: bigint, grant: bigint, imported: number): void {
    const { state } = this.mustBe(session, ['open', 'lingering', 'exited']);
    const flight = this.flights.find(other => other.session === session && other.grant === grant);
    this.refuseIf(
      flight === undefined || imported < 0 || imported > flight.ids.length,
      'INVALID_ARGUMENT',
    );
    const ids = (flight as ModelFlight).ids;
    const arrived = state === 'exited' ? [] : ids.slice(0, imported);
    const { promise } = flight as ModelFlight;
    if (promise !== null && this.promises.includes(promise)) {
      const missing = this.extents.filter(
        extent => ids.indexOf(extent.id) >= imported && !extent.returned,
      );
      promise.pages += total(missing.map(extent => extent.pages));
    }
    this.extents = this.extents.filter(
      extent => !ids.includes(extent.id) || (arrived.includes(extent.id) && !extent.returned),
    );
    for (const extent of this.extents) if (ids.includes(extent.id)) extent.grant = 0n;
    this.flights = this.flights.filter(other => other !== flight);
    this.forget([session]);
    this.serve();
  }

  give(session: bigint, ids: readonly bigint[]): { count: number; pages: number; held: number } {
    this.mustBe(session, ['open', 'lingering']);
    for (const [index, id] of ids.entries()) {
      const extent = this.extents.find(other => other.id === id);
      const issued =
        id >> 40n === this.limits.epoch &&
        (id & 0xff_ffff_ffffn) >= 1n &&
        (id & 0xff_ffff_ffffn) <= this.extentIds;
      this.refuseIf(extent === undefined, issued ? 'EXTENT_RETURNED' : 'EXTENT_UNKNOWN');
      const owner = (extent as ModelExtent).session;
      this.refuseIf(owner !== session && !this.leftBehind(owner, session), 'EXTENT_FOREIGN');
      this.refuseIf(extent?.returned === true || ids.indexOf(id) < index, 'EXTENT_RETURNED');
    }
    const given = this.extents.filter(extent => ids.includes(extent.id));
    for (const extent of given) extent.returned = true;
    this.extents = this.extents.filter(extent => !(extent.returned && extent.grant === 0n));
    const held = this.held(session);
    this.forget(given.map(extent => extent.session));
    this.serve();
    return { count: given.length, pages: total(given.map(extent => extent.pages)), held };
  }

  adopt(session: bigint, specs: readonly { id: bigint; pages: number }[]): number {
    this.mustBe(session, ['open']);
    this.refuseIf(this.draining, 'DRAINING');
    const moved: ModelExtent[] = [];
    for (const [index, { id, pages }] of specs.entries()) {
      this.refuseIf(specs.findIndex(spec => spec.id === id) < index, 'INVALID_ARGUMENT');
      const extent = this.extents.find(other => other.id === id);
      this.refuseIf(!extent && id >> 40n === this.limits.epoch, 'INVALID_ARGUMENT');
      if (extent === undefined) continue;
      this.refuseIf(extent.session === session, 'INVALID_ARGUMENT');
      const takable = this.leftBehind(extent.session, session) && extent.grant === 0n;
      this.refuseIf(!takable, 'EXTENT_FOREIGN');
      this.refuseIf(extent.pages !== pages, 'INVALID_ARGUMENT');
      moved.push(extent);
    }
    const fresh = specs.filter(({ id }) => moved.every(extent => extent.id !== id));
    const asked = total(specs.map(spec => spec.pages));
    const left = this.quotaLeft(session) - asked;
    const first = this.waiting.find(waiter => waiter.session === session);
    const loses =
      first !== undefined &&
      this.cut(first.pieces, first.needed, this.quotaLeft(session)) !== null &&
      this.cut(first.pieces, first.needed, left) === null;
    this.refuseIf(left < 0 || loses, 'QUOTA_EXHAUSTED');
    const freshPages = total(fresh.map(spec => spec.pages));
    const tenant = this.tenantOf(session);
    const limited = tenant.limit < this.limits.poolPages && freshPages > 0;
    this.refuseIf(limited && freshPages > tenant.limit - this.claimed(tenant), 'TENANT_LIMIT');
    this.refuseIf(freshPages > this.freeFor(tenant), 'POOL_EXHAUSTED');
    const holders = moved.map(extent => extent.session);
    for (const extent of moved) extent.session = session;
    for (const { id, pages } of fresh)
      this.extents.push({ id, pages, session, grant: 0n, returned: false });
    this.forget(holders);
    const held = this.held(session);
    this.serve();
    return held;
  }

  close(session: bigint): void {
    const found = this.mustBe(session, ['open', 'lingering', 'exited']);
    if (found.state === 'open') this.shut(found, 'GRANT_CANCELLED');
  }

  evict(session: bigint): void {
    const found = this.mustBe(session, ['open', 'lingering']);
    found.evicted = true;
    this.shut(found, 'SESSION_EVICTED');
  }

  private shut(session: ModelSession, why: 'GRANT_CANCELLED' | 'SESSION_EVICTED'): void {
    session.state = 'lingering';
    this.promises = this.promises.filter(other => other.session !== session.id);
    for (const waiter of this.waiting.filter(other => other.session === session.id))
      this.leave(waiter, why);
    this.serve();
  }

  exit(session: bigint): void {
    const found = this.mustBe(session, ['open', 'lingering', 'exited']);
    for (const waiter of this.waiting.filter(other => other.session === session))
      this.leave(waiter, 'GRANT_CANCELLED');
    found.state = 'exited';
    this.promises = this.promises.filter(other => other.session !== session);
    this.extents = this.extents.filter(extent => extent.session !== session || extent.grant !== 0n);
    this.caches = this.caches.filter(cache => cache.session !== session);
    this.forget([session]);
    this.serve();
  }

  expire(): void {
    const lapsed = this.promises.filter(({ deadline }) => deadline <= this.now);
    for (const { id } of this.sessions)
      for (const one of lapsed)
        if (one.session === id) this.said.push(`cut ${one.session} ${one.id} 0 lapsed`);
    this.promises = this.promises.filter(one => !lapsed.includes(one));
    if (lapsed.length > 0) this.serve();
    for (;;) {
      const late = this.waiting.filter(waiter => waiter.deadline <= this.now);
      const overdue = late.toSorted((a, b) => a.deadline - b.deadline)[0];
      if (overdue === undefined) break;
      this.leave(overdue, this.whyNot(overdue));
    }
    this.serve();
  }

  /** A session says that it has given what it can; whether it owes anything was told before. */
  report(): void {
    this.serve();
  }

  setTenant(name: string, revision: bigint, wanted: Omit<ModelTenant, 'name' | 'uid'>): void {
    const tenant = this.limits.tenants.find(other => other.name === name) as ModelTenant;
    this.refuseIf(tenant === undefined, 'TENANT_UNKNOWN');
    this.refuseIf(revision !== this.revision, 'REVISION_STALE');
    const others = this.limits.tenants.filter(other => other !== tenant);
    const guaranteed = total([...others, wanted].map(one => one.guaranteed));
    const bad = wanted.weight < 1 || wanted.limit < 1 || wanted.limit < wanted.guaranteed;
    this.refuseIf(bad || guaranteed > this.limits.poolPages, 'INVALID_ARGUMENT');
    Object.assign(tenant, wanted);
    this.revision += 1n;
    this.cutForChange();
    for (const waiter of this.waiting) {
      const never = this.whyNever(waiter.session, waiter.pieces, waiter.needed);
      if (never !== null) this.leave(waiter, never);
    }
    this.serve();
  }

  drain(): void {
    this.draining = true;
    for (const waiter of this.waiting) this.leave(waiter, 'DRAINING');
  }

  /**
   * At `wantedPage` (0: anywhere) if free or if a closed session of the same process has exactly that
   * range, which then loses it; else at the lowest place with room.
   */
  create(session: bigint, pages: number, wantedPage: number): ModelCache {
    this.mustBe(session, ['open']);
    this.refuseIf(this.draining, 'DRAINING');
    this.refuseIf(
      this.caches.filter(cache => cache.session === session).length >= this.limits.cachesMax,
      'CACHE_LIMIT',
    );
    const former = this.sessions
      .filter(other => this.leftBehind(other.id, session))
      .flatMap(other => this.caches.filter(cache => cache.session === other.id))
      .find(cache => cache.basePage === wantedPage && cache.pages === pages);
    const own = this.caches.filter(cache => cache.session === session);
    if (former !== undefined && wantedPage > 0 && this.apart(wantedPage, pages, own)) {
      const cache = { id: (this.cacheIds += 1n), session, basePage: wantedPage, pages };
      this.caches = [...this.caches.filter(other => other !== former), cache];
      this.forget([former.session]);
      return cache;
    }
    const { planBasePage, planPages } = this.limits;
    const ends = this.caches.map(cache => cache.basePage + cache.pages).toSorted((a, b) => a - b);
    const basePage = [wantedPage, planBasePage, ...ends].find(base => {
      const inside = base >= planBasePage && base + pages <= planBasePage + planPages;
      return inside && this.apart(base, pages, this.caches);
    });
    this.refuseIf(basePage === undefined, 'ADDRESS_PLAN_EXHAUSTED');
    this.cacheIds += 1n;
    const cache = { id: this.cacheIds, session, basePage: basePage as number, pages };
    this.caches.push(cache);
    return cache;
  }

  /** Wholly in the plan and apart from all caches, or wholly outside and apart from the session's own. */
  place(session: bigint, id: bigint, basePage: number): void {
    this.mustBe(session, ['open']);
    const cache = this.caches.find(other => other.id === id && other.session === session);
    this.refuseIf(cache === undefined, 'CACHE_UNKNOWN');
    const { planBasePage, planPages } = this.limits;
    const { pages } = cache as ModelCache;
    const inside = basePage >= planBasePage && basePage + pages <= planBasePage + planPages;
    const outside = basePage + pages <= planBasePage || basePage >= planBasePage + planPages;
    const others = this.caches.filter(
      other => other !== cache && (inside || other.session === session),
    );
    this.refuseIf(!(inside || outside) || !this.apart(basePage, pages, others), 'INVALID_ARGUMENT');
    (cache as ModelCache).basePage = basePage;
  }

  destroy(session: bigint, id: bigint): void {
    this.mustBe(session, ['open', 'lingering']);
    const cache = this.caches.find(other => other.id === id && other.session === session);
    this.refuseIf(cache === undefined, 'CACHE_UNKNOWN');
    this.caches = this.caches.filter(other => other !== cache);
    this.forget([session]);
  }

  private apart(base: number, pages: number, others: readonly ModelCache[]): boolean {
    return others.every(one => base + pages <= one.basePage || base >= one.basePage + one.pages);
  }

  /** Of the same process, and closed, not exited: what it has is the later session's to take over. */
  private leftBehind(other: bigint, by: bigint): boolean {
    const [former, heir] = [other, by].map(id => this.sessions.find(one => one.id === id));
    return (
      former?.state === 'lingering' &&
      !former.evicted &&
      former.process.pid === heir?.process.pid &&
      former.process.uid === heir.process.uid &&
      former.tenant === heir.tenant
    );
  }

  /** Those of them that are not open and have nothing left. */
  private forget(sessions: readonly bigint[]): void {
    const all = [...this.extents, ...this.flights, ...this.caches];
    this.sessions = this.sessions.filter(
      ({ id, state, evicted }) =>
        !sessions.includes(id) ||
        state === 'open' ||
        (evicted && state === 'lingering') ||
        all.some(one => one.session === id),
    );
  }

  private mustBe(id: bigint, states: readonly string[]): ModelSession {
    const session = this.sessions.find(other => other.id === id);
    const known = session !== undefined && session.state !== 'exited';
    this.refuseIf(known && session.evicted && !states.includes('lingering'), 'SESSION_EVICTED');
    this.refuseIf(session === undefined || !states.includes(session.state), 'SESSION_UNKNOWN');
    return session as ModelSession;
  }
}
