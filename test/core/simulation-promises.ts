/** Promises in the simulation: how they are drawn. */
import type { Prng } from './prng.js';
import type { ReferenceModel } from './reference-model.js';

/** A slot of the simulation's caches is all of it, at 1,024 tokens a page. */
const TOKENS_PER_PAGE = 1_024;

export interface DrawnPromise {
  readonly cache: bigint;
  readonly tokens: number;
  /** Pages that the slot has already. */
  readonly mapped: number;
  readonly waitMs: number;
  readonly lapse: number;
}

/** For one of the session's caches; now and then for none, for more than it has, or for no time. */
export function drawReserve(prng: Prng, model: ReferenceModel, session: bigint): DrawnPromise {
  const own = model.caches.filter(cache => cache.session === session);
  const cache = prng.chance(0.95) ? prng.pick(own) : prng.pick(model.caches);
  const most = (cache?.pages ?? 1) * TOKENS_PER_PAGE;
  const tokens = prng.chance(0.97) ? prng.between(1, most) : prng.pick([0, most + 1, -1]);
  const needed = Math.max(1, Math.ceil((tokens ?? 0) / TOKENS_PER_PAGE));
  return {
    cache: cache?.id ?? 3n,
    tokens: tokens ?? 0,
    mapped: prng.chance(0.97) ? prng.below(needed) : (prng.pick([needed, -1]) as number),
    waitMs: prng.chance(0.3) ? 0 : prng.between(1, prng.chance(0.02) ? 3_000 : 2_000),
    lapse: prng.chance(0.98) ? prng.between(1, 4_000) : 0,
  };
}

/** One of the promises, mostly of its own session; now and then one that never was. */
export function drawPromise(
  prng: Prng,
  model: ReferenceModel,
): { readonly session: bigint; readonly promise: bigint; readonly pages: number } {
  const one = prng.pick(model.promises);
  const { session = 1n, id = 88_888n, pages = 0 } = one ?? {};
  if (prng.chance(0.95)) return { session, promise: id, pages };
  return { session: prng.pick(model.sessions)?.id ?? 1n, promise: id, pages };
}
