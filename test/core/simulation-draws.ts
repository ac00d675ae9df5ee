import type { Limits } from '../../daemon/core/types.js';
import type { Prng } from './prng.js';
import type { ModelLimits, ModelProcess } from './model-types.js';
import type { ReferenceModel } from './reference-model.js';
import { drawTenants, FIRST_UID, modelTenants } from './simulation-tenants.js';
import { pages, smallLimits } from './support.js';

/** Limits so small that a run meets every one of them. */
export function drawLimits(prng: Prng): Limits {
  const pool = prng.between(8, 64);
  return smallLimits({
    tenants: drawTenants(prng, pool),
    poolBytes: pages(pool),
    sessionLimitBytes: pages(prng.between(4, pool + 8)),
    sessionsMax: prng.between(2, 6),
    cachesPerSessionMax: 3,
    grantsInFlightMax: prng.between(1, 5),
    extentsPerGrantMax: prng.between(1, 12),
    grantWaitMsMax: 2_000,
    addressPlanBytes: pages(prng.between(4, 24)),
  });
}

/** The same limits as the model counts them: in pages. */
export function modelLimits(limits: Limits, epoch: bigint): ModelLimits {
  return {
    tenants: modelTenants(limits.tenants, Number(limits.poolBytes / pages(1))),
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
  };
}

/** Extents asked of each order; mostly as many as one grant may have, now and then more, or none. */
function drawCounts(prng: Prng, extentsMax: number): number[] {
  const counts = Array.from({ length: prng.between(1, 5) }, () => 0);
  const extents = prng.chance(0.02) ? prng.below(20) : prng.between(1, extentsMax);
  for (let i = 0; i < extents; i += 1) {
    const order = prng.below(counts.length);
    counts[order] = (counts[order] ?? 0) + 1;
  }
  return counts;
}

export interface DrawnRequest {
  readonly counts: readonly number[];
  /** Pages of each extent. */
  readonly pieces: readonly number[];
  readonly minimum: number;
  readonly waitMs: number;
}

/** What one request asks: at least `minimum` pages of the `pieces`, or an answer after `waitMs`. */
export function drawRequest(prng: Prng, extentsMax: number): DrawnRequest {
  const counts = drawCounts(prng, extentsMax);
  const pieces = counts.flatMap((count, order) => Array.from({ length: count }, () => 2 ** order));
  const asked = pieces.reduce((sum, piece) => sum + piece, 0);
  const minimum = prng.chance(0.5) ? 0 : prng.between(1, asked + (prng.chance(0.02) ? 1 : 0));
  const waitMs = prng.chance(0.3) ? 0 : prng.between(1, prng.chance(0.02) ? 3_000 : 2_000);
  return { counts, pieces, minimum, waitMs };
}

/** A process that is new, or has or had a session already; now and then another user's by its number. */
export function drawProcess(prng: Prng, model: ReferenceModel, fresh: number): ModelProcess {
  const known = prng.chance(0.4) ? prng.pick(model.sessions)?.process : undefined;
  if (known === undefined) {
    const { length } = model.limits.tenants;
    // One more than there are tenants: nobody's, unless one is everybody's.
    const uids = length > 1 ? length + Number(prng.chance(0.2)) : 1;
    return { pid: fresh, uid: FIRST_UID + prng.below(uids) };
  }
  return prng.chance(0.3) ? { pid: known.pid, uid: known.uid ^ 1 } : known;
}

/**
 * What a session declares that it holds: most of what its process left behind, extents of an earlier
 * daemon, and now and then one that is not to be had: of others, in flight, listed twice, of another
 * size, of this daemon and nobody's.
 */
export function drawAdopted(
  prng: Prng,
  model: ReferenceModel,
  session: bigint,
): { id: bigint; order: number }[] {
  const { process } = model.sessions.find(({ id }) => id === session) ?? {};
  // Now and then also what is another user's of the same number, or of a session that is not closed.
  const bold = prng.chance(0.1);
  const mine = model.sessions
    .filter(({ id }) => id !== session)
    .filter(other => (bold || other.state === 'lingering') && other.process.pid === process?.pid)
    .filter(other => bold || other.process.uid === process?.uid)
    .map(({ id }) => id);
  const specs = model.extents
    .filter(extent => mine.includes(extent.session) && extent.grant === 0n && prng.chance(0.8))
    .map(({ id, pages }) => ({ id, order: Math.log2(pages) }));
  for (let left = prng.below(specs.length === 0 ? 4 : 2); left >= 0; left -= 1) {
    // Few numbers of one earlier epoch, so that some are adopted twice; now and then one of this epoch.
    const epoch = prng.chance(0.02) ? model.limits.epoch : model.limits.epoch ^ 1n;
    specs.push({ id: (epoch << 40n) | BigInt(prng.between(1, 400)), order: prng.below(3) });
  }
  if (!prng.chance(0.2)) return specs;
  const other = prng.pick(model.extents);
  const strange = [other && { id: other.id, order: Math.log2(other.pages) }, specs[0]];
  if (specs[0] !== undefined)
    specs[0] = { ...specs[0], order: specs[0].order ^ Number(prng.chance(0.3)) };
  const one = prng.pick(strange);
  if (one !== undefined) specs.splice(prng.below(specs.length + 1), 0, one);
  return specs;
}

/** Some of what `session` holds; now and then one that it must not give back is among them. */
export function drawReturned(
  prng: Prng,
  model: ReferenceModel,
  session: bigint,
  returnedBefore: readonly bigint[],
): bigint[] {
  const ids = model.extents
    .filter(extent => extent.session === session && !extent.returned)
    .map(({ id }) => id)
    .filter(() => prng.chance(0.4));
  if (prng.chance(0.1)) {
    const ofAnyone = prng.pick(model.extents)?.id;
    const neverGranted = [1n, model.limits.epoch << 40n];
    const strange = [ofAnyone, prng.pick(returnedBefore), ids[0], ...neverGranted];
    ids.push(prng.pick(strange) ?? 5n);
  }
  return ids;
}

/** One of the session's caches, and a page near the plan, 0: none wanted. */
export function drawCacheChange(
  prng: Prng,
  model: ReferenceModel,
  session: bigint,
): { readonly cache: bigint; readonly wantedPage: number } {
  const cache = prng.pick(model.caches.filter(other => other.session === session))?.id ?? 3n;
  const { planBasePage, planPages } = model.limits;
  const wantedPage = prng.chance(0.5) ? 0 : planBasePage + prng.between(-8, planPages + 8);
  return { cache, wantedPage };
}

/** Mostly one that is connected; now and then any, or none that ever was. */
export function drawSession(prng: Prng, model: ReferenceModel): bigint {
  if (prng.chance(0.005)) return 99_999n;
  const open = model.sessions.filter(({ state }) => state === 'open');
  const among = open.length > 0 && prng.chance(0.9) ? open : model.sessions;
  return prng.pick(among)?.id ?? 1n;
}

/** One whose connection is gone; null: never mind. */
export function drawLingering(prng: Prng, model: ReferenceModel): bigint | null {
  if (prng.chance(0.25)) return null;
  return model.sessions.find(({ state }) => state === 'lingering')?.id ?? 99_999n;
}
