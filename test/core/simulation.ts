import { KvspanError } from '../../proto/errors.js';
import { createLedger, type Ledger } from '../../daemon/core/ledger.js';
import {
  cacheId,
  extentId,
  grantId,
  sessionId,
  type Effect,
  type Limits,
} from '../../daemon/core/types.js';
import { answerOf, effectsOf, fail, outcome, same, tell, toBytes } from './compare.js';
import { Prng } from './prng.js';
import { ModelRefusal } from './model-types.js';
import { ReferenceModel } from './reference-model.js';
import {
  checkAddresses,
  checkEmpty,
  checkNextExpiry,
  checkReclaim,
  checkViews,
  stateOf,
} from './simulation-checks.js';
import {
  drawAdopted,
  drawLimits,
  drawProcess,
  drawRequest,
  drawReturned,
  modelLimits,
  drawCacheChange,
  drawLingering,
  drawSession,
} from './simulation-draws.js';
import { at, pages, peer, smallGeometry } from './support.js';

/** How many of the last operations a failure tells. */
const TOLD_OPS = 12;
/** A run ends with at most so many rounds in which everybody gives everything back. */
const LAST_ROUNDS_MAX = 100;

export interface SimulationOptions {
  readonly seed: number;
  readonly operations: number;
  /** Add up all books from nothing every so many operations; the cheap checks are made after each. */
  readonly auditEvery: number;
  /** To show that the simulation notices: what stands between it and the ledger. */
  readonly wrap?: (ledger: Ledger) => Ledger;
}

export interface SimulationResult {
  readonly operations: number;
  /** How often what happened: operations by kind, effects by kind, `refused CODE`, `queued`, `cut down`. */
  readonly seen: ReadonlyMap<string, number>;
}

/** One seeded run: each operation goes to the ledger and to the model, and both must answer the same. */
export class Simulation {
  private readonly prng: Prng;
  private readonly limits: Limits;
  private readonly ledger: Ledger;
  private readonly model: ReferenceModel;
  private readonly seen = new Map<string, number>();
  private readonly lastOps: string[] = [];
  /** Grants asked and not answered. */
  private readonly unanswered = new Set<string>();
  private readonly askedBack = new Map<bigint, { id: bigint; deadline: number }>();
  private readonly returned: bigint[] = [];
  private now = 0;
  private grantIds = 0n;
  private count = 0;

  constructor(private readonly options: SimulationOptions) {
    this.prng = new Prng(options.seed);
    this.limits = drawLimits(this.prng);
    const epoch = BigInt(this.prng.between(1, 2 ** 24 - 1));
    const ledger = createLedger(this.limits, { epoch });
    this.ledger = options.wrap?.(ledger) ?? ledger;
    this.model = new ReferenceModel(modelLimits(this.limits, epoch));
  }

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
      this.endWell();
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
    else if (roll < 37) this.request();
    else if (roll < 40) this.cancel();
    else if (roll < 60) this.settle();
    else if (roll < 79) this.giveBack();
    else if (roll < 81) this.adopt();
    else if (roll < 89) this.expire();
    else if (roll < 92) this.reportReclaim();
    else if (roll < 93) this.close();
    else if (roll < 95) this.exit();
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
    const { counts, pieces, minimum, waitMs } = drawRequest(
      this.prng,
      this.limits.extentsPerGrantMax,
    );
    const asking = { grant: grantId(grant), counts, minimumBytes: pages(minimum), waitMs };
    this.unanswered.add(`${session} ${grant} ${this.count}`);
    const before = this.model.waiting.length;
    const done = this.apply(
      `request ${session} ${grant} [${counts.join(',')}] >= ${minimum} within ${waitMs} ms`,
      () => this.ledger.requestGrant(sessionId(session), asking, at(this.now)),
      () => this.model.request(session, grant, pieces, minimum, waitMs, this.now),
    );
    if (!done) this.unanswered.delete(`${session} ${grant} ${this.count}`);
    if (this.model.waiting.length > before) this.note('queued');
  }

  private cancel(): void {
    const waiter = this.prng.chance(0.8)
      ? this.prng.pick(this.model.waiting)
      : this.prng.pick(this.model.flights);
    const [session, grant] = [waiter?.session ?? this.anySession(), waiter?.grant ?? 77_777n];
    this.apply(
      `cancel ${session} ${grant}`,
      () => this.ledger.cancelGrant(sessionId(session), grantId(grant), at(this.now)),
      () => this.model.cancel(session, grant),
    );
  }

  private settle(): void {
    const flight = this.prng.pick(this.model.flights);
    if (flight === undefined) return;
    const { session, grant, ids } = flight;
    const imported = this.prng.chance(0.85) ? ids.length : this.prng.between(-1, ids.length + 1);
    this.apply(
      `settle ${session} ${grant} ${imported}`,
      () => this.ledger.grantSettled(sessionId(session), grantId(grant), imported, at(this.now)),
      () => this.model.settle(session, grant, imported),
    );
  }

  private giveBack(): void {
    const session = this.anySession();
    const ids = drawReturned(this.prng, this.model, session, this.returned);
    this.give(session, ids);
  }

  private give(session: bigint, ids: readonly bigint[]): void {
    const done = this.apply(
      `return ${session} [${ids.join(',')}]`,
      () => this.ledger.returnExtents(sessionId(session), ids.map(extentId), at(this.now)),
      () => this.model.give(session, ids),
    );
    if (done && this.returned.length < 1_000) this.returned.push(...ids);
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

  private expire(): void {
    this.apply(
      'expire',
      () => this.ledger.expire(at(this.now)),
      () => this.model.expire(this.now),
    );
  }

  private reportReclaim(): void {
    const asked = this.prng.pick([...this.askedBack]);
    if (asked === undefined || stateOf(this.model, asked[0]) !== 'open') return;
    const [session, { id }] = asked;
    this.askedBack.delete(session);
    this.apply(
      `report ${session} ${id}`,
      () => this.ledger.reclaimReported(sessionId(session), id, at(this.now)),
      () => undefined,
    );
  }

  private close(session = this.anySession()): void {
    this.askedBack.delete(session);
    this.apply(
      `close ${session}`,
      () => this.ledger.sessionClosed(sessionId(session), at(this.now)),
      () => this.model.close(session),
    );
  }

  /** Mostly of a process that closed its connection before. */
  private exit(session = drawLingering(this.prng, this.model) ?? this.anySession()): void {
    this.askedBack.delete(session);
    this.apply(
      `exit ${session}`,
      () => this.ledger.sessionExited(sessionId(session), at(this.now)),
      () => this.model.exit(session),
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

  /** A cache of as many slots as pages. */
  private create(session: bigint, slots: number, wantedPage: number): void {
    const { length } = this.model.caches;
    const create = (): string => {
      const geometry = { ...smallGeometry, slots };
      const base = pages(wantedPage) as never;
      const view = this.ledger.createCache(sessionId(session), geometry, 'c', base);
      return `${view.id} ${view.plan.baseAddress / pages(1)} ${view.plan.totalBytes / pages(1)}`;
    };
    const done = this.apply(`create ${session} ${slots} at ${wantedPage}`, create, () => {
      const made = this.model.create(session, slots, wantedPage);
      return `${made.id} ${made.basePage} ${made.pages}`;
    });
    if (done && this.model.caches.length === length) this.note('range taken over');
  }

  /** Both do it; what they say, answer and refuse must be the same. True: neither refused. */
  private apply(what: string, real: () => unknown, modelled: () => unknown): boolean {
    this.lastOps.push(`#${this.count} at ${this.now} ms: ${what}`);
    if (this.lastOps.length > TOLD_OPS) this.lastOps.shift();
    this.note(what.split(' ')[0] as string);
    this.model.said = [];
    const expected = outcome(modelled, error => error instanceof ModelRefusal);
    const got = outcome(real, error => error instanceof KvspanError);
    const effects = effectsOf(got.value);
    if (expected.refused !== got.refused)
      fail(`the ledger says ${got.refused ?? 'yes'}, the model ${expected.refused ?? 'yes'}`);
    if (got.refused !== null) this.note(`refused ${got.refused}`);
    const said = effects
      .filter(effect => effect.kind === 'grant' || effect.kind === 'refuse')
      .map(tell);
    same('effects', said.join('; '), this.model.said.join('; '));
    same('answer', answerOf(got.value), answerOf(toBytes(expected.value)));
    this.answered(effects);
    this.checkReclaims(effects);
    checkNextExpiry(this.ledger, this.model);
    checkViews(this.ledger, this.model);
    if (/ (create|place|destroy|exit) /.test(this.lastOps.at(-1) ?? ''))
      checkAddresses(this.ledger, this.model, this.limits.addressPlanBytes);
    return got.refused === null;
  }

  /** Every grant is answered once. */
  private answered(effects: readonly Effect[]): void {
    for (const effect of effects) {
      this.note(effect.kind === 'refuse' ? `refused later ${effect.error.code}` : effect.kind);
      if (effect.kind === 'reclaim' || effect.kind === 'overdue') continue;
      const key = [...this.unanswered].find(asked =>
        asked.startsWith(`${effect.session} ${effect.grant} `),
      );
      if (key === undefined)
        fail(`grant ${effect.grant} of session ${effect.session} is answered, but nobody asks`);
      else this.unanswered.delete(key);
    }
  }

  private checkReclaims(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind !== 'reclaim') continue;
      const { session, reclaim, deadline } = effect;
      const before = this.askedBack.get(session)?.deadline ?? null;
      checkReclaim(effect, this.model, before, this.now);
      this.askedBack.set(session, { id: reclaim, deadline });
    }
  }

  /**
   * Everybody settles and gives back, again and again: whoever waits must be served, or its time
   * must come. Then all processes exit, and nothing may be left.
   */
  private endWell(): void {
    if (this.options.seed % 4 === 0)
      this.apply(
        'drain',
        () => this.ledger.drain(at(this.now)),
        () => this.model.drain(),
      );
    for (let round = 0; this.model.waiting.length + this.model.flights.length > 0; round += 1) {
      if (round > LAST_ROUNDS_MAX)
        fail(`${this.model.waiting.length} grants still wait after everybody gave back`);
      this.now += 50;
      for (const { session, grant, ids } of this.model.flights) {
        this.apply(
          `settle ${session} ${grant} at the end`,
          () =>
            this.ledger.grantSettled(sessionId(session), grantId(grant), ids.length, at(this.now)),
          () => this.model.settle(session, grant, ids.length),
        );
      }
      for (const { id } of this.model.sessions.filter(({ state }) => state !== 'exited')) {
        const mine = this.model.extents.filter(
          extent => extent.session === id && extent.grant === 0n,
        );
        this.give(
          id,
          mine.map(extent => extent.id),
        );
      }
      this.expire();
    }
    if (this.unanswered.size > 0) fail(`never answered: ${[...this.unanswered].join(',')}`);
    for (const { id } of this.model.sessions) this.exit(id);
    this.ledger.check();
    checkEmpty(this.ledger);
  }

  private anySession(): bigint {
    return drawSession(this.prng, this.model);
  }

  private note(event: string): void {
    this.seen.set(event, (this.seen.get(event) ?? 0) + 1);
  }

  private report(error: unknown): string {
    const why = error instanceof Error ? error.message : String(error);
    const told = this.lastOps.join('\n  ');
    return `seed ${this.options.seed}, operation ${this.count}: ${why}\nthe last operations:\n  ${told}`;
  }
}
