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
  const reserved = model.limits.tenants.reduce((sum, tenant) => sum + model.reserved(tenant), 0);
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

/** Who waits for the pool is looked at again: nothing depends on one message being answered. */
export function checkNextExpiry(ledger: Ledger, model: ReferenceModel): void {
  const next = ledger.nextExpiry();
  const first = Math.min(...model.waiting.map(waiter => waiter.deadline));
  const late = model.waiting.length > 0 ? next === null || next > first : next !== null;
  // With tenants it is also looked at whether what a guarantee needed has come.
  if (late && !(model.waiting.length === 0 && model.limits.tenants.length > 1))
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
  const views = ledger.sessions();
  same(
    'sessions',
    views
      .map(({ id, heldBytes, state, evicted }) => `${id} ${heldBytes} ${state} ${evicted}`)
      .join('; '),
    model.sessions
      .map(
        ({ id, state, evicted }) =>
          `${id} ${pages(model.held(id))} ${state === 'open' ? 'open' : 'lingering'} ${evicted}`,
      )
      .join('; '),
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
  const { usedBytes, extentCount, sessionCount, cacheCount, waitingGrantCount, waitingBytes } =
    ledger.pool();
  same(
    'at the end',
    [usedBytes, extentCount, sessionCount, cacheCount, waitingGrantCount, waitingBytes].join(' '),
    '0 0 0 0 0 0',
  );
}
