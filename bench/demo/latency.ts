/** Latencies of one kind of event: every one is kept, so that quantiles are exact. */

import { quantileOfSorted } from '../report/statistics.js';

/** Upper edges of the histogram's buckets, in microseconds; the last bucket has no edge. */
export const HISTOGRAM_EDGES_US = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000,
] as const;

export interface LatencySummary {
  readonly count: number;
  /** Microseconds; 0 if nothing happened. */
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

export interface HistogramBucket {
  /** Upper edge, included; null: no upper edge. */
  readonly upToUs: number | null;
  readonly count: number;
}

export class Latencies {
  #values = new Float64Array(1024);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(microseconds: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#count * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count++] = microseconds;
  }

  summary(): LatencySummary {
    const sorted = this.#values.subarray(0, this.#count).toSorted();
    const at = (share: number): number => {
      const value = sorted.length === 0 ? 0 : quantileOfSorted(sorted, share);
      return Math.round(value * 1000) / 1000;
    };
    return {
      count: sorted.length,
      p50Us: at(0.5),
      p99Us: at(0.99),
      p999Us: at(0.999),
      maxUs: at(1),
    };
  }

  histogram(): HistogramBucket[] {
    const counts = Array.from({ length: HISTOGRAM_EDGES_US.length + 1 }, () => 0);
    for (let i = 0; i < this.#count; i++) {
      const bucket = HISTOGRAM_EDGES_US.findIndex(edge => this.#values[i]! <= edge);
      counts[bucket < 0 ? HISTOGRAM_EDGES_US.length : bucket]! += 1;
    }
    return counts.map((count, index) => ({ upToUs: HISTOGRAM_EDGES_US[index] ?? null, count }));
  }
}
