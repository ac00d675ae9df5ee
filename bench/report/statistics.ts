/** The few statistics that the benchmarks quote. */
import type { Row } from './results.js';

/** The value below which `share` (0 .. 1) of the samples lie; nearest rank, so it is a sample. */
export function quantile(samples: readonly number[] | Float64Array, share: number): number {
  return quantileOfSorted(Float64Array.from(samples).toSorted(), share);
}

/** The same of samples in ascending order, for who asks for several. */
export function quantileOfSorted(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) throw new RangeError('quantile of no samples');
  const rank = Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1));
  return sorted[rank] as number;
}

export function row(
  name: string,
  variant: string,
  unit: Row['unit'],
  samples: readonly number[],
): Row {
  return {
    case: name,
    variant,
    unit,
    median: round(quantile(samples, 0.5)),
    min: round(quantile(samples, 0)),
    max: round(quantile(samples, 1)),
    n: samples.length,
  };
}

/** Three decimals: below a nanosecond there is nothing to say. */
function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
