/** How a simulated run ends: everybody behaves, so nobody may be left waiting; then all are gone. */
import { RECLAIM_DEADLINE_MS } from '../../daemon/core/limits.js';
import { fail } from './compare.js';
import type { ModelSession, ModelTenant, ModelWaiter } from './model-types.js';
import { checkEmpty } from './simulation-checks.js';
import type { SimulationRun } from './simulation-run.js';
import { at, peer } from './support.js';

/** A run ends with at most so many rounds in which everybody gives everything back. */
const LAST_ROUNDS_MAX = 100;
/** Rounds of reclaim within the longest wait, and some more. */
const LIVELY_ROUNDS_MAX = 60;
/** A grant that has this long to wait has time enough to be met by what is asked back for it. */
const TIME_ENOUGH_MS = 3 * RECLAIM_DEADLINE_MS;
/** Of the tenant that is everybody's. */
const NOBODYS_UID = 4_000;
/** How often a run ends with somebody who wants back what is his. */
const STAGED_TIMES = 20;

/**
 * Nobody asks for more, and everybody gives back what it is asked for: then every grant that its
 * tenant's guarantee covers is met before its time, and all others are met or refused. First as the
 * run has left things; then again and again with one tenant that others have borrowed everything from.
 */
export function endLively(run: SimulationRun): void {
  const { model } = run;
  settleAll(run);
  for (const { id, state } of model.sessions) if (state === 'lingering') run.exit(id);
  run.expire();
  attend(run);
  for (const { id } of model.sessions.slice(1)) run.exit(id);
  for (let place = model.sessions.length; place < model.limits.sessionsMax; place += 1)
    open(run, model.limits.tenants[place % model.limits.tenants.length] as ModelTenant);
  for (let time = 0; time < STAGED_TIMES; time += 1) {
    const tenants = model.limits.tenants.filter(one => one.guaranteed > 0);
    const tenant = run.prng.pick(tenants);
    if (tenant === undefined) return;
    for (const { id } of sessionsOf(run, tenant)) giveAll(run, id);
    for (const other of model.limits.tenants)
      if (other !== tenant) for (const { id } of sessionsOf(run, other)) fill(run, id);
    askWithin(run, tenant);
    attend(run);
  }
}

/** Everybody does what it is asked for until nobody waits any more. */
function attend(run: SimulationRun): void {
  const { model } = run;
  settleAll(run);
  const covered = model.heads().filter(head => isSure(run, head));
  for (const _ of covered) run.note('covered at the end');
  for (let round = 0; model.waiting.length > 0; round += 1) {
    if (round > LIVELY_ROUNDS_MAX) fail(`${model.waiting.length} grants wait for ever`);
    for (const { id } of model.sessions) answerReclaim(run, id);
    settleAll(run);
    if (model.waiting.length === 0) break;
    run.now = Math.max(run.now, run.ledger.nextExpiry() ?? Number.NaN);
    const late = covered.find(
      waiter => waiter.deadline <= run.now && model.waiting.includes(waiter),
    );
    if (late !== undefined)
      fail(`grant ${late.grant} of session ${late.session} was not met within its guarantee`);
    run.expire();
  }
}

function open(run: SimulationRun, { uid }: ModelTenant): void {
  const process = { pid: run.count + run.model.sessions.length + 1, uid: uid ?? NOBODYS_UID };
  run.apply(
    `open ${process.pid} of ${process.uid}`,
    () => run.ledger.openSession({ ...peer(process.pid), uid: process.uid }, at(run.now)),
    () => run.model.open(process),
  );
}

const sessionsOf = (run: SimulationRun, tenant: ModelTenant): ModelSession[] =>
  run.model.sessions.filter(one => one.tenant === tenant && one.state === 'open');

/** Takes whatever is to be had. */
function fill(run: SimulationRun, session: bigint): void {
  const { extentsMax } = run.model.limits;
  const pieces = Array.from({ length: extentsMax }, () => 8);
  const counts = [0, 0, 0, extentsMax];
  run.ask(session, (run.grantIds += 1n), { counts, pieces, minimum: 1, waitMs: 0 });
  settleAll(run);
}

/** One more grant that the guarantee covers, if the tenant has any left. */
function askWithin(run: SimulationRun, tenant: ModelTenant): void {
  const { model } = run;
  const { sessionPages, extentsMax, waitMsMax } = model.limits;
  const left = tenant.guaranteed - model.heldByTenant(tenant);
  const session = sessionsOf(run, tenant).find(({ id }) => model.held(id) < sessionPages)?.id;
  if (session === undefined || left <= 0) return;
  const count = Math.min(left, sessionPages - model.held(session), extentsMax);
  const pieces = Array.from({ length: count }, () => 1);
  const asked = { counts: [count], pieces, minimum: 0, waitMs: waitMsMax };
  run.ask(session, (run.grantIds += 1n), asked);
}

function giveAll(run: SimulationRun, session: bigint): void {
  const mine = run.model.extents.filter(
    extent => extent.session === session && extent.grant === 0n,
  );
  run.give(
    session,
    mine.map(extent => extent.id),
  );
}

const isSure = (run: SimulationRun, head: ModelWaiter): boolean =>
  run.model.isCovered(head) && head.deadline >= run.now + TIME_ENOUGH_MS;

/** Gives what it was asked for, extent by extent, and says so. */
function answerReclaim(run: SimulationRun, session: bigint): void {
  const asked = run.askedBack.get(session);
  if (asked === undefined) return;
  const ids: bigint[] = [];
  let left = asked.pages;
  for (const extent of run.model.extents) {
    if (left <= 0) break;
    if (extent.session !== session || extent.grant !== 0n) continue;
    ids.push(extent.id);
    left -= extent.pages;
  }
  run.give(session, ids);
  run.reportReclaim(session);
}

function settleAll(run: SimulationRun): void {
  while (run.model.flights[0] !== undefined) {
    const { session, grant, ids } = run.model.flights[0];
    run.settleGrant(session, grant, ids.length);
  }
}

/**
 * Everybody settles and gives back, again and again: whoever waits must be served, or its time
 * must come. Then all processes exit, and nothing may be left.
 */
export function endWell(run: SimulationRun): void {
  const { model } = run;
  if (run.options.seed % 4 === 0)
    run.apply(
      'drain',
      () => run.ledger.drain(at(run.now)),
      () => model.drain(),
    );
  for (let round = 0; model.waiting.length + model.flights.length > 0; round += 1) {
    if (round > LAST_ROUNDS_MAX)
      fail(`${model.waiting.length} grants still wait after everybody gave back`);
    run.now += 50;
    settleAll(run);
    for (const { id } of model.sessions.filter(({ state }) => state !== 'exited')) {
      giveAll(run, id);
    }
    run.expire();
  }
  if (run.unanswered.size > 0) fail(`never answered: ${[...run.unanswered].join(',')}`);
  for (const { id } of model.sessions) run.exit(id);
  run.ledger.check();
  checkEmpty(run.ledger);
}
