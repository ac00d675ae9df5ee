import type { Limits } from '../../daemon/core/types.js';
import type { Prng } from './prng.js';
import type { ModelLimits, ReferenceModel } from './reference-model.js';
import { pages, smallLimits } from './support.js';

/** Limits so small that a run meets every one of them. */
export function drawLimits(prng: Prng): Limits {
  const pool = prng.between(8, 64);
  return smallLimits({
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

/** What one request asks: at least `minimum` pages of the `pieces`, or an answer after `waitMs`. */
export function drawRequest(
  prng: Prng,
  extentsMax: number,
): { counts: number[]; pieces: number[]; minimum: number; waitMs: number } {
  const counts = drawCounts(prng, extentsMax);
  const pieces = counts.flatMap((count, order) => Array.from({ length: count }, () => 2 ** order));
  const asked = pieces.reduce((sum, piece) => sum + piece, 0);
  const minimum = prng.chance(0.5) ? 0 : prng.between(1, asked + (prng.chance(0.02) ? 1 : 0));
  const waitMs = prng.chance(0.3) ? 0 : prng.between(1, prng.chance(0.02) ? 3_000 : 2_000);
  return { counts, pieces, minimum, waitMs };
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
