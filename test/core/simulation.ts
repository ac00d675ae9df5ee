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
import { Prng } from './prng.js';
import { ModelRefusal, ReferenceModel, type ModelSession } from './reference-model.js';
import { PLAN_BASE, at, pages, peer, smallGeometry, smallLimits } from './support.js';

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

interface AskedBack {
  id: bigint;
  deadline: number;
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
  private readonly askedBack = new Map<bigint, AskedBack>();
  private readonly returned: bigint[] = [];
  private now = 0;
  private grantIds = 0n;
  private count = 0;

  constructor(private readonly options: SimulationOptions) {
    this.prng = new Prng(options.seed);
    this.limits = this.drawLimits();
    const epoch = BigInt(this.prng.between(1, 2 ** 24 - 1));
    const ledger = createLedger(this.limits, { epoch });
    this.ledger = options.wrap?.(ledger) ?? ledger;
    const { limits } = this;
    this.model = new ReferenceModel({
      poolPages: Number(limits.poolBytes / pages(1)),
      sessionPages: Number(limits.sessionLimitBytes / pages(1)),
      sessionsMax: limits.sessionsMax,
      cachesMax: limits.cachesPerSessionMax,
      inFlightMax: limits.grantsInFlightMax,
      extentsMax: limits.extentsPerGrantMax,
      waitMsMax: limits.grantWaitMsMax,
      epoch,
      planBasePage: Number(limits.addressPlanBase / pages(1)),
      planPages: Number(limits.addressPlanBytes / pages(1)),
    });
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

  private drawLimits(): Limits {
    const pool = this.prng.between(8, 64);
    return smallLimits({
      poolBytes: pages(pool),
      sessionLimitBytes: pages(this.prng.between(4, pool + 8)),
      sessionsMax: this.prng.between(2, 6),
      cachesPerSessionMax: 3,
      grantsInFlightMax: this.prng.between(1, 5),
      extentsPerGrantMax: this.prng.between(1, 12),
      grantWaitMsMax: 2_000,
      addressPlanBytes: pages(this.prng.between(4, 24)),
    });
  }

  private step(): void {
    this.now += this.prng.below(40);
    const roll = this.prng.below(100);
    if (roll < 4) this.open();
    else if (roll < 38) this.request();
    else if (roll < 41) this.cancel();
    else if (roll < 62) this.settle();
    else if (roll < 81) this.giveBack();
    else if (roll < 83) this.adopt();
    else if (roll < 91) this.expire();
    else if (roll < 94) this.reportReclaim();
    else if (roll < 95) this.close();
    else if (roll < 97) this.exit();
    else this.changeCaches();
  }

  private open(): void {
    this.apply(
      'open',
      () => this.ledger.openSession(peer(this.count), at(this.now)),
      () => this.model.open(),
    );
  }

  private request(): void {
    const session = this.anySession();
    const duplicate = this.prng.chance(0.03)
      ? this.prng.pick([...this.model.flights, ...this.model.waiting])
      : undefined;
    const grant = duplicate?.grant ?? (this.prng.chance(0.005) ? 0n : (this.grantIds += 1n));
    const counts = this.drawCounts();
    const pieces = counts.flatMap((count, order) =>
      Array.from({ length: count }, () => 2 ** order),
    );
    const asked = pieces.reduce((sum, piece) => sum + piece, 0);
    const minimum = this.prng.chance(0.5)
      ? 0
      : this.prng.between(1, asked + (this.prng.chance(0.02) ? 1 : 0));
    const waitMs = this.prng.chance(0.3)
      ? 0
      : this.prng.between(1, this.prng.chance(0.02) ? 3_000 : 2_000);
    const asking = { grant: grantId(grant), counts, minimumBytes: pages(minimum), waitMs };
    this.unanswered.add(`${session} ${grant} ${this.count}`);
    const before = this.model.waiting.length;
    const done = this.apply(
      `request ${session} ${grant} [${counts}] >= ${minimum} within ${waitMs} ms`,
      () => this.ledger.requestGrant(sessionId(session), asking, at(this.now)),
      () => this.model.request(session, grant, pieces, minimum, waitMs, this.now),
    );
    if (!done) this.unanswered.delete(`${session} ${grant} ${this.count}`);
    if (this.model.waiting.length > before) this.note('queued');
  }

  /** Mostly as many extents as one grant may have. */
  private drawCounts(): number[] {
    const counts = Array.from({ length: this.prng.between(1, 5) }, () => 0);
    const extents = this.prng.chance(0.02)
      ? this.prng.below(20)
      : this.prng.between(1, this.limits.extentsPerGrantMax);
    for (let i = 0; i < extents; i += 1) {
      const order = this.prng.below(counts.length);
      counts[order] = (counts[order] ?? 0) + 1;
    }
    return counts;
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
    const mine = this.model.extents
      .filter(extent => extent.session === session && !extent.returned)
      .map(({ id }) => id);
    const ids = mine.filter(() => this.prng.chance(0.4));
    // Of somebody else, returned before, twice, never granted.
    if (this.prng.chance(0.1)) {
      const strange = [
        this.prng.pick(this.model.extents)?.id,
        this.prng.pick(this.returned),
        ids[0],
        1n,
        this.model.limits.epoch << 40n,
      ];
      ids.push(this.prng.pick(strange) ?? 5n);
    }
    this.give(session, ids);
  }

  private give(session: bigint, ids: readonly bigint[]): void {
    const done = this.apply(
      `return ${session} [${ids}]`,
      () => this.ledger.returnExtents(sessionId(session), ids.map(extentId), at(this.now)),
      () => this.model.give(session, ids),
    );
    if (done && this.returned.length < 1_000) this.returned.push(...ids);
  }

  private adopt(): void {
    const session = this.anySession();
    const specs = Array.from({ length: this.prng.between(1, 4) }, () => {
      // Few numbers of one earlier epoch, so that some are adopted twice; now and then one of this epoch.
      const epoch = this.prng.chance(0.02) ? this.model.limits.epoch : this.model.limits.epoch ^ 1n;
      return { id: (epoch << 40n) | BigInt(this.prng.between(1, 400)), order: this.prng.below(3) };
    });
    this.apply(
      `adopt ${session} [${specs.map(({ id, order }) => `${id}/${order}`)}]`,
      () =>
        this.ledger.adopt(
          sessionId(session),
          specs.map(({ id, order }) => ({ id: extentId(id), order })),
        ),
      () =>
        pages(
          this.model.adopt(
            session,
            specs.map(({ id, order }) => ({ id, pages: 2 ** order })),
          ),
        ),
    );
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
    if (asked === undefined || this.stateOf(asked[0]) !== 'open') return;
    const [session, { id }] = asked;
    this.askedBack.delete(session);
    this.apply(
      `report ${session} ${id}`,
      () => this.ledger.reclaimReported(sessionId(session), id, at(this.now)),
      () => undefined,
    );
  }

  private close(): void {
    const session = this.anySession();
    this.askedBack.delete(session);
    this.apply(
      `close ${session}`,
      () => this.ledger.sessionClosed(sessionId(session), at(this.now)),
      () => this.model.close(session),
    );
  }

  /** Mostly of a process that closed its connection before. */
  private exit(session = this.lingering() ?? this.anySession()): void {
    this.askedBack.delete(session);
    this.apply(
      `exit ${session}`,
      () => this.ledger.sessionExited(sessionId(session), at(this.now)),
      () => this.model.exit(session),
    );
  }

  private changeCaches(): void {
    const session = this.anySession();
    const cache =
      this.prng.pick(this.model.caches.filter(other => other.session === session))?.id ?? 3n;
    const { planBasePage, planPages } = this.model.limits;
    const wantedPage = this.prng.chance(0.5)
      ? 0
      : planBasePage + this.prng.between(-8, planPages + 8);
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
      const slots = this.prng.between(1, 6);
      const create = (): string => {
        const view = this.ledger.createCache(
          sessionId(session),
          { ...smallGeometry, slots },
          'c',
          base,
        );
        return `${view.id} ${view.plan.baseAddress / pages(1)} ${view.plan.totalBytes / pages(1)}`;
      };
      this.apply(`create ${session} ${slots} at ${wantedPage}`, create, () => {
        const made = this.model.create(session, slots, wantedPage);
        return `${made.id} ${made.basePage} ${made.pages}`;
      });
    }
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
    const said = effects.filter(effect => effect.kind !== 'reclaim').map(tell);
    same('effects', said.join('; '), this.model.said.join('; '));
    same('answer', answerOf(got.value), answerOf(toBytes(expected.value)));
    this.answered(effects);
    this.checkReclaims(effects);
    this.checkViews();
    return got.refused === null;
  }

  /** Every grant is answered once. */
  private answered(effects: readonly Effect[]): void {
    for (const effect of effects) {
      this.note(effect.kind === 'refuse' ? `refused later ${effect.error.code}` : effect.kind);
      if (effect.kind === 'reclaim') continue;
      const key = [...this.unanswered].find(asked =>
        asked.startsWith(`${effect.session} ${effect.grant} `),
      );
      if (key === undefined)
        fail(`grant ${effect.grant} of session ${effect.session} is answered, but nobody asks`);
      else this.unanswered.delete(key);
    }
  }

  private checkReclaims(effects: readonly Effect[]): void {
    const asked = effects.filter(effect => effect.kind === 'reclaim');
    const head = asked.length > 0 ? this.model.poolHead() : null;
    for (const effect of asked) {
      const { session, reclaim, wantedBytes, deadline } = effect;
      const before = this.askedBack.get(session);
      if (before !== undefined && before.deadline > this.now)
        fail(`session ${session} is asked twice at once`);
      if (this.stateOf(session) !== 'open') fail(`session ${session} is asked, but not connected`);
      if (head === null || head.session === session)
        fail(`session ${session} is asked, but nobody else waits`);
      if (
        wantedBytes <= 0n ||
        wantedBytes % pages(1) !== 0n ||
        wantedBytes > pages(this.model.held(session))
      ) {
        fail(`session ${session} is asked for ${wantedBytes} bytes`);
      }
      if (deadline <= this.now) fail(`session ${session} is asked until ${deadline}`);
      this.askedBack.set(session, { id: reclaim, deadline });
    }
    // Who waits for the pool is looked at again: nothing depends on one message being answered.
    const next = this.ledger.nextExpiry();
    const first = Math.min(...this.model.waiting.map(waiter => waiter.deadline));
    if (this.model.waiting.length > 0 ? next === null || next > first : next !== null)
      fail(`next expiry is ${next}, should be by ${first}`);
  }

  /** What the ledger shows is what the model counts from nothing. */
  private checkViews(): void {
    const { model } = this;
    const pool = this.ledger.pool();
    const used = model.used();
    if (used > model.limits.poolPages) fail(`the model itself has ${used} pages in use`);
    const shown = [
      pool.usedBytes,
      pool.freeBytes,
      pool.extentCount,
      pool.sessionCount,
      pool.cacheCount,
      pool.waitingGrantCount,
    ];
    const counted = [
      pages(used),
      pages(model.free()),
      model.extents.length,
      model.sessions.length,
      model.caches.length,
      model.waiting.length,
    ];
    same('pool', shown.join(' '), counted.join(' '));
    const views = this.ledger.sessions();
    same(
      'sessions',
      views.map(({ id, heldBytes, state }) => `${id} ${heldBytes} ${state}`).join('; '),
      model.sessions
        .map(
          ({ id, state }) =>
            `${id} ${pages(model.held(id))} ${state === 'open' ? 'open' : 'lingering'}`,
        )
        .join('; '),
    );
    same(
      'sum of accounts',
      views.reduce((sum, view) => sum + view.heldBytes, 0n),
      pool.usedBytes,
    );
    if (this.lastOps.at(-1)?.match(/ (create|place|destroy|exit) /) !== null) this.checkAddresses();
  }

  /** Ranges are where the model has them, inside the plan and apart. */
  private checkAddresses(): void {
    const shown = this.ledger.caches(null).map(({ id, plan }) => ({
      id,
      base: plan.baseAddress,
      end: plan.baseAddress + plan.totalBytes,
    }));
    same(
      'caches',
      shown
        .toSorted(byId)
        .map(({ id, base }) => `${id} ${base}`)
        .join('; '),
      this.model.caches
        .toSorted(byId)
        .map(({ id, basePage }) => `${id} ${pages(basePage)}`)
        .join('; '),
    );
    let end: bigint = PLAN_BASE;
    const planEnd = PLAN_BASE + this.limits.addressPlanBytes;
    const planned = shown.filter(range => range.end > PLAN_BASE && range.base < planEnd);
    for (const range of planned.toSorted((a, b) => (a.base < b.base ? -1 : 1))) {
      if (range.base < end) fail(`cache ${range.id} at ${range.base} overlaps what ends at ${end}`);
      end = range.end;
    }
    if (end > planEnd) fail(`a cache ends at ${end}, past the plan`);
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
    if (this.unanswered.size > 0) fail(`never answered: ${[...this.unanswered]}`);
    for (const { id } of this.model.sessions) this.exit(id);
    this.ledger.check();
    const { usedBytes, extentCount, sessionCount, cacheCount, waitingGrantCount, waitingBytes } =
      this.ledger.pool();
    same(
      'at the end',
      [usedBytes, extentCount, sessionCount, cacheCount, waitingGrantCount, waitingBytes].join(' '),
      '0 0 0 0 0 0',
    );
  }

  private anySession(): bigint {
    if (this.prng.chance(0.005)) return 99_999n;
    const open = this.model.sessions.filter(({ state }) => state === 'open');
    const among = open.length > 0 && this.prng.chance(0.9) ? open : this.model.sessions;
    return this.prng.pick(among)?.id ?? 1n;
  }

  private lingering(): bigint | null {
    return this.prng.chance(0.25)
      ? null
      : (this.model.sessions.find(({ state }) => state === 'lingering')?.id ?? 99_999n);
  }

  private stateOf(session: bigint): ModelSession['state'] | null {
    return this.model.sessions.find(({ id }) => id === session)?.state ?? null;
  }

  private note(event: string): void {
    this.seen.set(event, (this.seen.get(event) ?? 0) + 1);
  }

  private report(error: unknown): string {
    const why = error instanceof Error ? error.message : String(error);
    return `seed ${this.options.seed}, operation ${this.count}: ${why}\nthe last operations:\n  ${this.lastOps.join('\n  ')}`;
  }
}

const byId = (a: { id: bigint }, b: { id: bigint }): number => Number(a.id - b.id);

interface Outcome {
  readonly value: unknown;
  readonly refused: string | null;
}

function outcome(act: () => unknown, isRefusal: (error: unknown) => boolean): Outcome {
  try {
    return { value: act(), refused: null };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { value: null, refused: (error as { code: string }).code };
  }
}

function effectsOf(value: unknown): readonly Effect[] {
  if (Array.isArray(value)) return value as Effect[];
  return (value as { effects?: Effect[] } | null)?.effects ?? [];
}

/** What is answered beside the effects, as text. */
function answerOf(value: unknown): string {
  if (value === null || value === undefined || Array.isArray(value)) return '';
  if (typeof value !== 'object') return String(value);
  const { returned, cancelled } = value as {
    returned?: Record<string, unknown>;
    cancelled?: boolean;
  };
  return returned === undefined
    ? String(cancelled)
    : `${returned['extentCount']} ${returned['returnedBytes']} ${returned['heldBytes']}`;
}

function toBytes(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { count, pages: given, held } = value as { count: number; pages: number; held: number };
  return { returned: { extentCount: count, returnedBytes: pages(given), heldBytes: pages(held) } };
}

function tell(effect: Effect): string {
  if (effect.kind === 'refuse')
    return `refuse ${effect.session} ${effect.grant} ${effect.error.code}`;
  if (effect.kind === 'reclaim') return `reclaim ${effect.session}`;
  const extents = effect.extents.map(({ id, bytes }) => `${id}/${bytes / pages(1)}`);
  return `grant ${effect.session} ${effect.grant} ${extents.join(' ')}`;
}

function same(what: string, got: unknown, expected: unknown): void {
  if (got !== expected) fail(`${what}: the ledger has <${got}>, the model <${expected}>`);
}

function fail(message: string): never {
  throw new Error(message);
}
