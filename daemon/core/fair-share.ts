/** Weighted max-min, seen from above: who has the most for its weight gives first. */

export interface Claim {
  /** What may be taken of it, at most `aboveBytes`. */
  readonly atMostBytes: bigint;
  /** What it has above the level that it may be brought down to. */
  readonly aboveBytes: bigint;
  readonly weight: number;
}

/** Halvings of the interval in which the level lies: beyond a double's precision nothing changes. */
const STEPS = 60;

/**
 * How much to take of each, so that `neededBytes` come together and those taken from come down to
 * one level of `aboveBytes / weight`, unless they have no more to give. In units of `unitBytes`,
 * rounded up: together it may be a unit for each of them too much. Less only if all give everything.
 */
export function takeFromFurthest(
  claims: readonly Claim[],
  neededBytes: bigint,
  unitBytes: bigint,
): bigint[] {
  const shares = claims.map(({ atMostBytes, aboveBytes, weight }) => ({
    most: Number(atMostBytes / unitBytes),
    above: Number(aboveBytes / unitBytes),
    weight,
  }));
  const needed = Math.ceil(Number(neededBytes) / Number(unitBytes));
  const taken = (level: number): number[] =>
    shares.map(({ most, above, weight }) => Math.min(most, Math.max(0, above - level * weight)));
  const enough = (level: number): boolean =>
    taken(level).reduce((total, one) => total + one, 0) >= needed;
  let low = 0;
  if (enough(0)) {
    let high = Math.max(0, ...shares.map(({ above, weight }) => above / weight));
    for (let step = 0; step < STEPS; step += 1) {
      const middle = (low + high) / 2;
      if (enough(middle)) low = middle;
      else high = middle;
    }
  }
  return taken(low).map(units => BigInt(Math.ceil(units - ROUNDING)) * unitBytes);
}

/** So that a level found by halving, which is a hair too low, does not take a unit more. */
const ROUNDING = 1e-9;
