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
import {
  answerOf,
  effectsOf,
  fail,
  isLaw,
  nameOf,
  outcome,
  same,
  tell,
  toBytes,
} from './compare.js';
import { type ModelCache, type ModelCut, ModelRefusal } from './model-types.js';
import { Prng } from './prng.js';
import { ReferenceModel } from './reference-model.js';
import {
  checkAddresses,
  checkNextExpiry,
  checkReclaim,
  checkShares,
  checkViews,
  stateOf,
} from './simulation-checks.js';
import { drawLimits, drawSession, modelLimits, type DrawnRequest } from './simulation-draws.js';
import type { DrawnPromise } from './simulation-promises.js';
import { checkTenants, tenantState } from './simulation-tenants.js';
import { at, pages, smallGeometry } from './support.js';

/** How many of the last operations a failure tells. */
const TOLD_OPS = 12;

/** What a session was asked to give back and has not reported. */
export interface Asked {
  readonly id: bigint;
  readonly deadline: number;
  readonly pages: number;
  readonly idleOnly: boolean;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly operations: number;
  /** Add up all books from nothing every so many operations; the cheap checks are made after each. */
  readonly auditEvery: number;
  /** To show that the simulation notices: what stands between it and the ledger. */
  readonly wrap?: (ledger: Ledger) => Ledger;
}

/** A ledger and its model: each operation goes to both, and both must answer the same. */
export class SimulationRun {
  readonly prng: Prng;
  readonly limits: Limits;
  readonly ledger: Ledger;
  readonly model: ReferenceModel;
  readonly seen = new Map<string, number>();
  readonly lastOps: string[] = [];
  /** Grants asked and not answered. */
  readonly unanswered = new Set<string>();
  readonly askedBack = new Map<bigint, Asked>();
  /** Asked for idle memory alone: nobody owes that. */
  private readonly idleAsks = new Set<bigint>();
  readonly returned: bigint[] = [];
  /** Sessions that have nothing idle: all that they hold, requests use. */
  readonly busy = new Set<bigint>();
  now = 0;
  grantIds = 0n;
  private askedCount = 0;
  private mayLapse = false;
  count = 0;

  constructor(readonly options: SimulationOptions) {
    this.prng = new Prng(options.seed);
    this.limits = drawLimits(this.prng);
    const epoch = BigInt(this.prng.between(1, 2 ** 24 - 1));
    const ledger = createLedger(this.limits, { epoch });
    this.ledger = options.wrap?.(ledger) ?? ledger;
    this.model = new ReferenceModel(modelLimits(this.limits, epoch));
  }

  cancelGrant(session: bigint, grant: bigint): void {
    this.apply(
      `cancel ${session} ${grant}`,
      () => this.ledger.cancelGrant(sessionId(session), grantId(grant), at(this.now)),
      () => this.model.cancel(session, grant),
    );
  }

  settleGrant(session: bigint, grant: bigint, imported: number): void {
    this.apply(
      `settle ${session} ${grant} ${imported}`,
      () => this.ledger.grantSettled(sessionId(session), grantId(grant), imported, at(this.now)),
      () => this.model.settle(session, grant, imported),
    );
  }

  /** `promise`: to be met out of that one. */
  ask(
    session: bigint,
    grant: bigint,
    { counts, pieces, minimum, waitMs }: DrawnRequest,
    promise: bigint | null = null,
  ): boolean {
    const minimumBytes = pages(minimum);
    const from = promise === null ? null : grantId(promise);
    const asking = { grant: grantId(grant), counts, minimumBytes, waitMs, promise: from };
    const key = `${session} ${grant} ${(this.askedCount += 1)}`;
    this.unanswered.add(key);
    const before = this.model.waiting.length;
    const what = promise === null ? 'request' : 'draw';
    const where = promise === null ? `within ${waitMs} ms` : `of promise ${promise}`;
    const done = this.apply(
      `${what} ${session} ${grant} [${counts.join(',')}] >= ${minimum} ${where}`,
      () => this.ledger.requestGrant(sessionId(session), asking, at(this.now)),
      () => this.model.request(session, grant, pieces, minimum, waitMs, promise),
    );
    if (!done) this.unanswered.delete(key);
    if (this.model.waiting.length > before) this.note('queued');
    return done;
  }

  reserve(session: bigint, promise: bigint, drawn: DrawnPromise): boolean {
    const { cache, tokens, mapped, waitMs, lapse } = drawn;
    const asking = {
      promise: grantId(promise),
      cache: cacheId(cache),
      tokens,
      overreadTokens: 0,
      mappedBytes: pages(mapped),
      waitMs,
      lapseMs: lapse,
    };
    const key = `${session} ${promise} ${(this.askedCount += 1)}`;
    this.unanswered.add(key);
    const done = this.apply(
      `reserve ${session} ${promise}: ${tokens} of ${cache}, ${mapped} mapped, within ${waitMs} ms, ` +
        `for ${lapse} ms`,
      () => this.ledger.reserve(sessionId(session), asking, at(this.now)),
      () => this.model.reserve(session, promise, { cache, tokens, mapped, lapse }, waitMs),
    );
    if (!done) this.unanswered.delete(key);
    return done;
  }

  /** A cache of one slot, of so many pages, at any place; null: there is none for it. */
  createCache(session: bigint, slotPages: number, wantedPage = 0): ModelCache | null {
    let made: ModelCache | null = null;
    const create = (): string => {
      const geometry = { ...smallGeometry, maxTokens: slotPages * smallGeometry.maxTokens };
      const base = pages(wantedPage) as never;
      const view = this.ledger.createCache(sessionId(session), geometry, 'c', base);
      return `${view.id} ${view.plan.baseAddress / pages(1)} ${view.plan.totalBytes / pages(1)}`;
    };
    this.apply(`create ${session} ${slotPages} at ${wantedPage}`, create, () => {
      made = this.model.create(session, slotPages, wantedPage);
      return `${made.id} ${made.basePage} ${made.pages}`;
    });
    return made;
  }

  keep(session: bigint, promise: bigint, left: number): void {
    this.apply(
      `keep ${session} ${promise}: ${left}`,
      () =>
        this.ledger.keepPromise(sessionId(session), grantId(promise), pages(left), at(this.now)),
      () => this.model.keep(session, promise, left),
    );
  }

  give(session: bigint, ids: readonly bigint[]): void {
    const done = this.apply(
      `return ${session} [${ids.join(',')}]`,
      () => this.ledger.returnExtents(sessionId(session), ids.map(extentId), at(this.now)),
      () => this.model.give(session, ids),
    );
    if (done && this.returned.length < 1_000) this.returned.push(...ids);
  }

  expire(): void {
    this.apply(
      'expire',
      () => this.ledger.expire(at(this.now)),
      () => this.model.expire(),
    );
  }

  reportReclaim(session: bigint): void {
    const asked = this.askedBack.get(session);
    if (asked === undefined || stateOf(this.model, session) !== 'open') return;
    this.askedBack.delete(session);
    this.apply(
      `report ${session} ${asked.id}`,
      () => this.ledger.reclaimReported(sessionId(session), asked.id, at(this.now)),
      () => this.model.report(),
    );
  }

  exit(session: bigint): void {
    this.askedBack.delete(session);
    this.apply(
      `exit ${session}`,
      () => this.ledger.sessionExited(sessionId(session), at(this.now)),
      () => this.model.exit(session),
    );
  }

  /** Both do it; what they say, answer and refuse must be the same. True: neither refused. */
  apply(what: string, real: () => unknown, modelled: () => unknown): boolean {
    this.lastOps.push(`#${this.count} at ${this.now} ms: ${what}`);
    if (this.lastOps.length > TOLD_OPS) this.lastOps.shift();
    this.note(what.split(' ')[0] as string);
    this.model.said = [];
    this.model.now = this.now;
    const before = tenantState(this.ledger);
    const got = outcome(real, error => error instanceof KvspanError);
    const effects = effectsOf(got.value);
    // Whom the ledger asked is policy, and who did not answer follows from it: the model is told.
    this.learnOverdue(effects);
    this.learnCuts(effects);
    const expected = outcome(modelled, error => error instanceof ModelRefusal);
    if (expected.refused !== got.refused)
      fail(`the ledger says ${got.refused ?? 'yes'}, the model ${expected.refused ?? 'yes'}`);
    if (got.refused !== null) this.note(`refused ${got.refused}`);
    const said = effects.filter(isLaw).map(tell);
    same('effects', said.join('; '), this.model.said.join('; '));
    same('answer', answerOf(got.value), answerOf(toBytes(expected.value)));
    this.answered(effects);
    this.checkReclaims(effects);
    this.mayLapse ||= this.model.promises.length > 0;
    checkNextExpiry(this.ledger, this.model, this.mayLapse);
    checkViews(this.ledger, this.model);
    checkTenants(this.ledger, this.model, before, what.startsWith('tenant'));
    if (/ (create|place|destroy|exit) /.test(this.lastOps.at(-1) ?? ''))
      checkAddresses(this.ledger, this.model, this.limits.addressPlanBytes);
    return got.refused === null;
  }

  /** Who was asked, and has held more than it was to come down to until its time was over. */
  private learnOverdue(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind !== 'overdue') continue;
      const { session, missingBytes, levelBytes, wantedBytes } = effect;
      const level = Number(levelBytes / pages(1));
      if (this.idleAsks.has(effect.reclaim))
        fail(`session ${session} is overdue with what it had none of`);
      if (missingBytes <= 0n || missingBytes > wantedBytes || this.model.held(session) <= level)
        fail(`session ${session} is overdue with ${missingBytes} bytes`);
      this.model.overdue.set(session, level);
    }
  }

  /** Promises that are cut: for a guarantee, right before that is met; or for other entitlements. */
  private learnCuts(effects: readonly Effect[]): void {
    const { model } = this;
    model.cutsBefore.clear();
    model.cutsOfChange = [];
    let cuts: ModelCut[] = [];
    for (const effect of effects) {
      if (effect.kind === 'cut') {
        const { session, promise: id, leftBytes, reason } = effect;
        const cut = { session, id, left: Number(leftBytes / pages(1)) };
        if (reason === 'guarantee') cuts.push(cut);
        if (reason === 'entitlement') model.cutsOfChange.push(cut);
      } else if ((effect.kind === 'grant' || effect.kind === 'promised') && cuts.length > 0) {
        const id = effect.kind === 'grant' ? effect.grant : effect.promise;
        model.cutsBefore.set(`${effect.session} ${id}`, cuts);
        cuts = [];
      }
    }
    if (cuts.length > 0) fail('promises are cut, and nobody gets anything');
  }

  /** Every grant is answered once. */
  answered(effects: readonly Effect[]): void {
    for (const effect of effects) {
      this.note(nameOf(effect));
      if (effect.kind !== 'grant' && effect.kind !== 'refuse' && effect.kind !== 'promised')
        continue;
      const id = effect.kind === 'promised' ? effect.promise : effect.grant;
      const key = [...this.unanswered].find(asked => asked.startsWith(`${effect.session} ${id} `));
      if (key === undefined)
        fail(`grant ${id} of session ${effect.session} is answered, but nobody asks`);
      else this.unanswered.delete(key);
    }
  }

  checkReclaims(effects: readonly Effect[]): void {
    checkShares(effects, this.model);
    for (const effect of effects) {
      if (effect.kind !== 'reclaim') continue;
      const { session, reclaim, deadline } = effect;
      const before = this.askedBack.get(session)?.deadline ?? null;
      if (effect.idleOnly) this.idleAsks.add(reclaim);
      checkReclaim(effect, this.model, before, this.now);
      this.askedBack.set(session, {
        id: reclaim,
        deadline,
        pages: Number(effect.wantedBytes / pages(1)),
        idleOnly: effect.idleOnly,
      });
    }
  }

  anySession(): bigint {
    return drawSession(this.prng, this.model);
  }

  note(event: string): void {
    this.seen.set(event, (this.seen.get(event) ?? 0) + 1);
  }

  report(error: unknown): string {
    const why = error instanceof Error ? error.message : String(error);
    const told = this.lastOps.join('\n  ');
    return `seed ${this.options.seed}, operation ${this.count}: ${why}\nthe last operations:\n  ${told}`;
  }
}
