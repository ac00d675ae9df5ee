import { cacheId, extentId, sessionId } from '../../daemon/core/types.js';
import {
  drawAdopted,
  drawCacheChange,
  drawLingering,
  drawProcess,
  drawRequest,
  drawReturned,
} from './simulation-draws.js';
import { stateOf } from './simulation-checks.js';
import { endLively, endWell } from './simulation-ending.js';
import { drawPromise, drawReserve } from './simulation-promises.js';
import { SimulationRun } from './simulation-run.js';
import { drawTenantChange } from './simulation-tenants.js';
import { at, pages, peer } from './support.js';

export interface SimulationResult {
  readonly operations: number;
  /** How often what happened: operations by kind, effects by kind, `refused CODE`, `queued`, `cut down`. */
  readonly seen: ReadonlyMap<string, number>;
}

/** One seeded run: operations as they come, then an end at which nobody may be left waiting. */
export class Simulation extends SimulationRun {
  run(): SimulationResult {
    const { stackTraceLimit } = Error;
    // A third of all operations are refused; taking their stacks would cost more than all the rest.
    Error.stackTraceLimit = 0;
    try {
      for (this.count = 0; this.count < this.options.operations; this.count += 1) {
        this.step();
        if (this.count % this.options.auditEvery === 0) this.ledger.check();
      }
      this.ledger.check();
      if (this.options.seed % 4 !== 0) endLively(this);
      endWell(this);
    } catch (error) {
      throw new Error(this.report(error), { cause: error });
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
    return { operations: this.count, seen: this.seen };
  }

  private step(): void {
    this.now += this.prng.below(40);
    const roll = this.prng.below(100);
    if (roll < 4) this.open();
    else if (roll < 31) this.request();
    else if (roll < 37) this.changePromises();
    else if (roll < 39) this.cancel();
    else if (roll < 40) this.changeTenant();
    else if (roll < 60) this.settle();
    else if (roll < 79) this.giveBack();
    else if (roll < 81) this.adopt();
    else if (roll < 89) this.expire();
    else if (roll < 92) this.reportReclaim(this.prng.pick([...this.askedBack.keys()]) ?? 0n);
    else if (roll < 93 && this.prng.chance(0.08)) this.evict();
    else if (roll < 93) this.close();
    else if (roll < 95) this.exit(drawLingering(this.prng, this.model) ?? this.anySession());
    else if (roll < 97) this.comeBack();
    else this.changeCaches();
  }

  private open(process = drawProcess(this.prng, this.model, this.count)): boolean {
    return this.apply(
      `open ${process.pid} of ${process.uid}`,
      () => this.ledger.openSession({ ...peer(process.pid), uid: process.uid }, at(this.now)),
      () => this.model.open(process),
    );
  }

  /** A process whose connection broke: it opens another session and declares what it has. */
  private comeBack(): void {
    const former = this.model.sessions.find(({ id }) => id === this.anySession());
    if (former === undefined) return;
    const caches = this.model.caches.filter(cache => cache.session === former.id);
    this.close(former.id);
    if (!this.open(former.process)) return;
    const session = this.model.sessions.at(-1)?.id as bigint;
    this.adopt(session);
    for (const { pages: slots, basePage } of caches) {
      // Of another size it is another cache, and gets other addresses.
      this.create(session, slots + Number(this.prng.chance(0.1)), basePage);
    }
  }

  private request(): void {
    const session = this.anySession();
    const duplicate = this.prng.chance(0.03)
      ? this.prng.pick([...this.model.flights, ...this.model.waiting])
      : undefined;
    const grant = duplicate?.grant ?? (this.prng.chance(0.005) ? 0n : (this.grantIds += 1n));
    this.ask(session, grant, drawRequest(this.prng, this.limits.extentsPerGrantMax));
  }

  private changePromises(): void {
    const { prng, model } = this;
    const roll = prng.below(10);
    if (roll < 4 || model.promises.length === 0) {
      const open = model.caches.filter(({ session }) => stateOf(model, session) === 'open');
      const session = prng.pick(open)?.session ?? this.anySession();
      if (open.length === 0 && prng.chance(0.8)) return this.create(session, prng.between(1, 6), 0);
      this.reserve(session, (this.grantIds += 1n), drawReserve(prng, model, session));
      return;
    }
    const { session, promise, pages: left } = drawPromise(prng, model);
    if (roll < 7) {
      const { counts, pieces } = drawRequest(prng, Math.max(1, Math.min(4, left)));
      const minimum = prng.chance(0.7) ? 1 : 0;
      this.ask(session, (this.grantIds += 1n), { counts, pieces, minimum, waitMs: 0 }, promise);
    } else {
      this.keep(session, promise, prng.chance(0.3) ? 0 : prng.between(-1, left + 1));
    }
  }

  private cancel(): void {
    const waiter = this.prng.chance(0.8)
      ? this.prng.pick(this.model.waiting)
      : this.prng.pick(this.model.flights);
    this.cancelGrant(waiter?.session ?? this.anySession(), waiter?.grant ?? 77_777n);
  }

  private settle(): void {
    const flight = this.prng.pick(this.model.flights);
    if (flight === undefined) return;
    const { session, grant, ids } = flight;
    const imported = this.prng.chance(0.85) ? ids.length : this.prng.between(-1, ids.length + 1);
    this.settleGrant(session, grant, imported);
  }

  private changeTenant(): void {
    const { name, wanted, stale } = drawTenantChange(this.prng, this.model);
    const revision = this.ledger.tenants().revision - BigInt(stale);
    const { guaranteed, limit, weight, kept: held } = wanted;
    const change = {
      name,
      revision,
      guaranteedBytes: pages(guaranteed),
      limitBytes: pages(limit),
      weight,
      held,
    };
    this.apply(
      `tenant ${name} at ${revision}: ${guaranteed} .. ${limit} / ${weight}${held ? ' held' : ''}`,
      () => this.ledger.setTenant(change, at(this.now)),
      () => this.model.setTenant(name, revision, wanted),
    );
  }

  private giveBack(): void {
    const session = this.anySession();
    const ids = drawReturned(this.prng, this.model, session, this.returned);
    this.give(session, ids);
  }

  private adopt(session = this.anySession()): void {
    const specs = drawAdopted(this.prng, this.model, session);
    const used = this.model.used();
    const asked = specs.reduce((sum, { order }) => sum + 2 ** order, 0);
    const done = this.apply(
      `adopt ${session} [${specs.map(({ id, order }) => `${id}/${order}`).join(',')}]`,
      () =>
        this.ledger.adopt(
          sessionId(session),
          specs.map(({ id, order }) => ({ id: extentId(id), order })),
          at(this.now),
        ),
      () =>
        pages(
          this.model.adopt(
            session,
            specs.map(({ id, order }) => ({ id, pages: 2 ** order })),
          ),
        ),
    );
    if (done && this.model.used() < used + asked) this.note('moved');
  }

  private close(session = this.anySession()): void {
    this.askedBack.delete(session);
    this.apply(
      `close ${session}`,
      () => this.ledger.sessionClosed(sessionId(session), at(this.now)),
      () => this.model.close(session),
    );
  }

  private evict(session = this.anySession()): void {
    this.askedBack.delete(session);
    this.apply(
      `evict ${session}`,
      () => this.ledger.evict(sessionId(session), at(this.now)),
      () => this.model.evict(session),
    );
  }

  private changeCaches(): void {
    const session = this.anySession();
    const { cache, wantedPage } = drawCacheChange(this.prng, this.model, session);
    const base = pages(wantedPage) as never;
    const roll = this.prng.below(3);
    if (roll === 0) {
      const destroy = (): void => this.ledger.destroyCache(sessionId(session), cacheId(cache));
      this.apply(`destroy ${session} ${cache}`, destroy, () => this.model.destroy(session, cache));
    } else if (roll === 1 && wantedPage > 0) {
      const place = (): void => this.ledger.placeCache(sessionId(session), cacheId(cache), base);
      this.apply(`place ${session} ${cache} ${wantedPage}`, place, () =>
        this.model.place(session, cache, wantedPage),
      );
    } else {
      this.create(session, this.prng.between(1, 6), wantedPage);
    }
  }

  /** A cache of one slot, of so many pages. */
  private create(session: bigint, slotPages: number, wantedPage: number): void {
    const { length } = this.model.caches;
    const made = this.createCache(session, slotPages, wantedPage);
    if (made !== null && this.model.caches.length === length) this.note('range taken over');
  }
}
