/** What holds after every operation: the ledger shows what the model counts from nothing. */
import type { Ledger } from '../../daemon/core/ledger.js';
import type { Effect } from '../../daemon/core/types.js';
import { fail, same } from './compare.js';
import type { ModelSession } from './model-types.js';
import type { ReferenceModel } from './reference-model.js';
import { PLAN_BASE, pages } from './support.js';

const byId = (a: { id: bigint }, b: { id: bigint }): number => Number(a.id - b.id);

export const stateOf = (model: ReferenceModel, session: bigint): ModelSession['state'] | null =>
  model.sessions.find(({ id }) => id === session)?.state ?? null;

/**
 * One message that asks a session to give back, sent at `now`.
 * `askedUntil`: the deadline of the one before it that the session has not answered, or null.
 */
export function checkReclaim(
  effect: Extract<Effect, { kind: 'reclaim' }>,
  model: ReferenceModel,
  askedUntil: number | null,
  now: number,
): void {
  const { session, wantedBytes, deadline } = effect;
  if (askedUntil !== null && askedUntil > now) fail(`session ${session} is asked twice at once`);
  if (stateOf(model, session) !== 'open') fail(`session ${session} is asked, but not connected`);
  const head = model.poolHead();
  // What is held and was lent before it was held is taken back for nobody who waits.
  const reserved =
    model.promised() +
    model.limits.tenants.reduce((sum, tenant) => sum + model.reserved(tenant), 0);
  const limited = model.isAside(model.tenantOf(session), session);
  const idle = head === null || head.session === session;
  if (idle && !limited && reserved <= model.free())
    fail(`session ${session} is asked, but nobody else waits`);
  if (
    wantedBytes <= 0n ||
    wantedBytes % pages(1) !== 0n ||
    wantedBytes > pages(model.held(session))
  ) {
    fail(`session ${session} is asked for ${wantedBytes} bytes`);
  }
  if (deadline <= now) fail(`session ${session} is asked until ${deadline}`);
}

/**
 * What those who are asked at one time would be left with: nobody whose tenant does not wait itself is
 * brought below his fair share by what is not idle; nor below his guarantee, if that is held, by
 * what is.
 */
export function checkShares(effects: readonly Effect[], model: ReferenceModel): void {
  const asked = effects.filter(effect => effect.kind === 'reclaim');
  if (asked.length === 0) return;
  const level = levelOfWaiting(model);
  for (const tenant of model.limits.tenants) {
    const own = asked.filter(({ session }) => model.tenantOf(session) === tenant);
    const waits = model.waiting.some(({ session }) => model.tenantOf(session) === tenant);
    if (own.length === 0 || waits) continue;
    const [all, live] = [own, own.filter(({ idleOnly }) => !idleOnly)].map(some =>
      some.reduce((sum, { wantedBytes }) => sum + Number(wantedBytes / pages(1)), 0),
    ) as [number, number];
    // Each is asked for whole pages.
    const claimed = model.claimed(tenant) + own.length;
    if (live > 0 && claimed - live < tenant.guaranteed + level * tenant.weight)
      fail(`tenant ${tenant.name} is asked for ${live} pages of its share`);
    if (tenant.kept && claimed - all < tenant.guaranteed)
      fail(`tenant ${tenant.name} is asked for ${all} pages that are held for it`);
  }
}

/** What the first of those who borrow would have of its weight; 0: a guarantee needs something. */
function levelOfWaiting(model: ReferenceModel): number {
  const { tenants } = model.limits;
  const reserved = tenants.reduce((sum, tenant) => sum + model.reserved(tenant), 0);
  const heads = model.heads();
  const lent = reserved > model.free() - model.promised();
  const borrower = heads.find(head => !model.isCovered(head));
  if (lent || borrower === undefined || heads.some(head => model.isCovered(head))) return 0;
  const tenant = model.tenantOf(borrower.session);
  const borrowed = Math.max(0, model.claimed(tenant) - tenant.guaranteed);
  return (borrowed + model.roomNeeded(borrower)) / tenant.weight;
}

/** Who waits for the pool is looked at again: nothing depends on one message being answered. */
export function checkNextExpiry(ledger: Ledger, model: ReferenceModel, mayLapse: boolean): void {
  const next = ledger.nextExpiry();
  const all = [...model.waiting, ...model.promises];
  const first = Math.min(...all.map(({ deadline }) => deadline));
  const late = all.length > 0 ? next === null || next > first : next !== null;
  // With tenants it is also looked at whether what a guarantee needed has come; a promise that ended
  // early is looked for when it would have lapsed.
  if (late && (all.length > 0 || (model.limits.tenants.length === 1 && !mayLapse)))
    fail(`next expiry is ${next}, should be by ${first}`);
}

/** The pool, the sessions, and that their accounts add up to what the pool says is used. */
export function checkViews(ledger: Ledger, model: ReferenceModel): void {
  const pool = ledger.pool();
  const used = model.used();
  if (used > model.limits.poolPages) fail(`the model itself has ${used} pages in use`);
  const shown = [
    pool.usedBytes,
    pool.freeBytes,
    pool.promisedBytes,
    pool.extentCount,
    pool.sessionCount,
    pool.cacheCount,
    pool.waitingGrantCount,
  ];
  const counted = [
    pages(used),
    pages(model.free()),
    pages(model.promised()),
    model.extents.length,
    model.sessions.length,
    model.caches.length,
    model.waiting.length,
  ];
  same('pool', shown.join(' '), counted.join(' '));
  const views = ledger.sessions();
  same(
    'sessions',
    views
      .map(
        ({ id, heldBytes, promisedBytes, state, evicted }) =>
          `${id} ${heldBytes} ${promisedBytes} ${state} ${evicted}`,
      )
      .join('; '),
    model.sessions
      .map(
        ({ id, state, evicted }) =>
          `${id} ${pages(model.held(id))} ${pages(model.promised(id))} ` +
          `${state === 'open' ? 'open' : 'lingering'} ${evicted}`,
      )
      .join('; '),
  );
  same(
    'who owes',
    views
      .flatMap(({ id, state, servedLast }) => (state === 'open' && servedLast ? [id] : []))
      .join(' '),
    model.sessions
      .flatMap(({ id, state }) => (state === 'open' && model.overdue.has(id) ? [id] : []))
      .join(' '),
  );
  same(
    'sum of accounts',
    views.reduce((sum, view) => sum + view.heldBytes, 0n),
    pool.usedBytes,
  );
}

/** Ranges are where the model has them, inside the plan of `planBytes` and apart. */
export function checkAddresses(ledger: Ledger, model: ReferenceModel, planBytes: bigint): void {
  const shown = ledger.caches(null).map(({ id, plan }) => ({
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
    model.caches
      .toSorted(byId)
      .map(({ id, basePage }) => `${id} ${pages(basePage)}`)
      .join('; '),
  );
  let end: bigint = PLAN_BASE;
  const planEnd = PLAN_BASE + planBytes;
  const planned = shown.filter(range => range.end > PLAN_BASE && range.base < planEnd);
  for (const range of planned.toSorted((a, b) => (a.base < b.base ? -1 : 1))) {
    if (range.base < end) fail(`cache ${range.id} at ${range.base} overlaps what ends at ${end}`);
    end = range.end;
  }
  if (end > planEnd) fail(`a cache ends at ${end}, past the plan`);
}

/** Nothing is left: no memory, no session, no cache, nobody waiting. */
export function checkEmpty(ledger: Ledger): void {
  const { usedBytes, promisedBytes, extentCount, sessionCount, cacheCount } = ledger.pool();
  const { waitingGrantCount, waitingBytes } = ledger.pool();
  same(
    'at the end',
    [
      usedBytes,
      promisedBytes,
      extentCount,
      sessionCount,
      cacheCount,
      waitingGrantCount,
      waitingBytes,
    ].join(' '),
    '0 0 0 0 0 0 0',
  );
}
