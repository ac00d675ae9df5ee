/** How a simulated run ends: everybody behaves, so nobody may be left waiting; then all are gone. */
import { LAPSE_MS_MAX, RECLAIM_DEADLINE_MS } from '../../daemon/core/limits.js';
import { fail } from './compare.js';
import type { ModelCache, ModelSession, ModelTenant, ModelWaiter } from './model-types.js';
import { checkEmpty } from './simulation-checks.js';
import type { DrawnPromise } from './simulation-promises.js';
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
/** Of a cache that is made to promise something. */
const CACHE_PAGES = 4;
const PROMISES_AT_MOST = 6;

/**
 * Nobody asks for more, and everybody gives back what it is asked for: then every grant that its
 * tenant's guarantee covers is met before its time, and all others are met or refused. First as the
 * run has left things; then again and again with one tenant that others have borrowed everything from,
 * some of it only promised; and with one that wants what lies idle with others. What is promised is
 * there in the end.
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
    stageGuarantee(run);
    if (time % 4 === 0) stageIdle(run);
    drawAll(run);
  }
}

/** One more grant, or promise, that a guarantee covers, of which others have borrowed everything. */
function stageGuarantee(run: SimulationRun): void {
  const { prng, model } = run;
  const tenant = prng.pick(model.limits.tenants.filter(one => one.guaranteed > 0));
  if (tenant === undefined) return;
  for (const { id } of sessionsOf(run, tenant)) giveAll(run, id);
  for (const other of model.limits.tenants) {
    if (other === tenant) continue;
    for (const { id } of sessionsOf(run, other)) {
      if (prng.chance(0.3)) promiseAll(run, id);
      fill(run, id);
    }
  }
  askWithin(run, tenant);
  if (prng.chance(0.3)) beLate(run);
  attend(run);
}

/** Nobody gives anything in time; then everybody wants something, and who owes it comes last. */
function beLate(run: SimulationRun): void {
  const { model } = run;
  settleAll(run);
  run.now += RECLAIM_DEADLINE_MS;
  run.expire();
  for (const { id } of model.sessions) {
    const asked = { counts: [1], pieces: [1], minimum: 0, waitMs: model.limits.waitMsMax };
    if (model.heads().length > 0) run.ask(id, (run.grantIds += 1n), asked);
  }
}

/** All memory is with others, whom nobody may ask for more than what lies idle: that must flow. */
function stageIdle(run: SimulationRun): void {
  const { prng, model } = run;
  const open = model.sessions.filter(({ state }) => state === 'open');
  const session = prng.pick(open);
  if (session === undefined) return;
  const others = open.filter(other => other !== session);
  for (const { id } of model.sessions) giveAll(run, id);
  for (const { id } of others) fill(run, id);
  run.busy.clear();
  for (const { id } of others) if (prng.chance(0.3)) run.busy.add(id);
  const pages = Math.min(idleFor(run, session), model.limits.extentsMax);
  if (pages > 0) {
    const pieces = Array.from({ length: pages }, () => 1);
    const { waitMsMax: waitMs } = model.limits;
    const asked = { counts: [pages], pieces, minimum: 0, waitMs };
    const granted = run.ask(session.id, (run.grantIds += 1n), asked);
    if (granted && model.waiting.length > 0) run.note('waits for idle memory');
    attend(run, model.waiting);
  }
  run.busy.clear();
}

/** What is free for this session or lies idle with others, and that it may have. */
function idleFor(run: SimulationRun, { id, tenant }: ModelSession): number {
  const { model } = run;
  let [idle, own] = [0, 0];
  for (const other of model.limits.tenants) {
    const lazy = sessionsOf(run, other).filter(one => !run.busy.has(one.id));
    const held = lazy.reduce((sum, one) => sum + model.held(one.id), 0);
    if (other === tenant) own = held;
    else if (other.kept) idle += Math.min(held, model.claimed(other) - other.guaranteed);
    else idle += held;
  }
  const kept = model.limits.tenants.filter(one => one !== tenant);
  const free = model.free() - kept.reduce((sum, one) => sum + model.reserved(one), 0);
  const { sessionPages } = model.limits;
  // What its own tenant's other sessions give is charged to its tenant again.
  const left = tenant.limit - model.claimed(tenant);
  return Math.min(free + Math.max(0, idle) + own, left, sessionPages - model.held(id));
}

/** Every promise that is there can be used up, at once. */
function drawAll(run: SimulationRun): void {
  const { model } = run;
  settleAll(run);
  for (const { session, id, pages } of model.promises.filter(one => one.pages > 0)) {
    if (model.waiting.some(waiter => waiter.session === session)) continue;
    const count = Math.min(pages, model.limits.extentsMax);
    const pieces = Array.from({ length: count }, () => 1);
    const asked = { counts: [count], pieces, minimum: 0, waitMs: 0 };
    if (!run.ask(session, (run.grantIds += 1n), asked, id))
      fail(`promise ${id} of session ${session} has ${pages} pages and gives none`);
    run.note('drawn at the end');
    settleAll(run);
  }
}

/** Promises as much as there is to be had, for long. */
function promiseAll(run: SimulationRun, session: bigint): void {
  const { model } = run;
  const cache =
    model.caches.find(one => one.session === session) ?? run.createCache(session, CACHE_PAGES);
  if (cache === null) return;
  for (let time = 0; time < PROMISES_AT_MOST; time += 1)
    if (!run.reserve(session, (run.grantIds += 1n), promiseOf(cache, 0))) return;
}

const promiseOf = ({ id, pages }: ModelCache, waitMs: number): DrawnPromise => ({
  cache: id,
  tokens: pages * 1024,
  mapped: 0,
  waitMs,
  lapse: LAPSE_MS_MAX,
});

/** Everybody does what it is asked for until nobody waits any more. */
function attend(run: SimulationRun, sure: readonly ModelWaiter[] = []): void {
  const { model } = run;
  settleAll(run);
  const entitled = model.heads().filter(head => isSure(run, head));
  for (const _ of entitled) run.note('covered at the end');
  const covered = [...entitled, ...sure];
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
      fail(
        `grant ${late.grant} of session ${late.session} was not met, and there was enough for it`,
      );
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
  const asked = { counts, pieces, minimum: 1, waitMs: 0 };
  while (run.ask(session, (run.grantIds += 1n), asked)) settleAll(run);
}

/** One more grant that the guarantee covers, if the tenant has any left. */
function askWithin(run: SimulationRun, tenant: ModelTenant): void {
  const { model } = run;
  const { sessionPages, extentsMax, waitMsMax } = model.limits;
  const left = tenant.guaranteed - model.claimed(tenant);
  const session = sessionsOf(run, tenant).find(({ id }) => model.held(id) < sessionPages)?.id;
  if (session === undefined || left <= 0) return;
  const cache = model.caches.find(one => one.session === session);
  if (cache !== undefined && cache.pages <= left && run.prng.chance(0.5)) {
    run.reserve(session, (run.grantIds += 1n), promiseOf(cache, waitMsMax));
    return;
  }
  const count = Math.min(left, sessionPages - model.held(session), extentsMax);
  const pieces = Array.from({ length: count }, () => 1);
  const asked = { counts: [count], pieces, minimum: 0, waitMs: waitMsMax };
  run.ask(session, (run.grantIds += 1n), asked);
}

/** All that is settled, and its promises. */
function giveAll(run: SimulationRun, session: bigint): void {
  for (const one of run.model.promises.filter(other => other.session === session))
    run.keep(session, one.id, 0);
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
  if (asked.idleOnly && run.busy.has(session)) return run.reportReclaim(session);
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
