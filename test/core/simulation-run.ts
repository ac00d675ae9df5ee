import { KvspanError } from '../../proto/errors.js';
import { createLedger, type Ledger } from '../../daemon/core/ledger.js';
import { extentId, grantId, sessionId, type Effect, type Limits } from '../../daemon/core/types.js';
import { answerOf, effectsOf, fail, outcome, same, tell, toBytes } from './compare.js';
import { ModelRefusal } from './model-types.js';
import { Prng } from './prng.js';
import { ReferenceModel } from './reference-model.js';
import {
  checkAddresses,
  checkNextExpiry,
  checkReclaim,
  checkViews,
  stateOf,
} from './simulation-checks.js';
import { drawLimits, drawSession, modelLimits, type DrawnRequest } from './simulation-draws.js';
import { checkTenants, tenantState } from './simulation-tenants.js';
import { at, pages } from './support.js';

/** How many of the last operations a failure tells. */
const TOLD_OPS = 12;

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
  readonly askedBack = new Map<bigint, { id: bigint; deadline: number; pages: number }>();
  readonly returned: bigint[] = [];
  now = 0;
  grantIds = 0n;
  private askedCount = 0;
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

  ask(session: bigint, grant: bigint, { counts, pieces, minimum, waitMs }: DrawnRequest): void {
    const asking = { grant: grantId(grant), counts, minimumBytes: pages(minimum), waitMs };
    const key = `${session} ${grant} ${(this.askedCount += 1)}`;
    this.unanswered.add(key);
    const before = this.model.waiting.length;
    const done = this.apply(
      `request ${session} ${grant} [${counts.join(',')}] >= ${minimum} within ${waitMs} ms`,
      () => this.ledger.requestGrant(sessionId(session), asking, at(this.now)),
      () => this.model.request(session, grant, pieces, minimum, waitMs, this.now),
    );
    if (!done) this.unanswered.delete(key);
    if (this.model.waiting.length > before) this.note('queued');
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
      () => this.model.expire(this.now),
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
    const before = tenantState(this.ledger);
    const got = outcome(real, error => error instanceof KvspanError);
    const effects = effectsOf(got.value);
    // Whom the ledger asked is policy, and who did not answer follows from it: the model is told.
    this.learnOverdue(effects);
    const expected = outcome(modelled, error => error instanceof ModelRefusal);
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
      if (missingBytes <= 0n || missingBytes > wantedBytes || this.model.held(session) <= level)
        fail(`session ${session} is overdue with ${missingBytes} bytes`);
      this.model.overdue.set(session, level);
    }
  }

  /** Every grant is answered once. */
  answered(effects: readonly Effect[]): void {
    for (const effect of effects) {
      this.note(effect.kind === 'refuse' ? `refused later ${effect.error.code}` : effect.kind);
      if (effect.kind !== 'grant' && effect.kind !== 'refuse') continue;
      const key = [...this.unanswered].find(asked =>
        asked.startsWith(`${effect.session} ${effect.grant} `),
      );
      if (key === undefined)
        fail(`grant ${effect.grant} of session ${effect.session} is answered, but nobody asks`);
      else this.unanswered.delete(key);
    }
  }

  checkReclaims(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind !== 'reclaim') continue;
      const { session, reclaim, deadline } = effect;
      const before = this.askedBack.get(session)?.deadline ?? null;
      checkReclaim(effect, this.model, before, this.now);
      this.askedBack.set(session, {
        id: reclaim,
        deadline,
        pages: Number(effect.wantedBytes / pages(1)),
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
