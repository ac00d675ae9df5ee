/** Every step of a run: how long it took, by what it had to do. */
import { type Outcome, outcomes, type StepAnswer } from './cache.js';
import { type HistogramBucket, Latencies, type LatencySummary } from './latency.js';

export class StepRecord {
  readonly #all = new Latencies();
  readonly #by = new Map<Outcome, Latencies>(outcomes.map(outcome => [outcome, new Latencies()]));
  #withDriverCall = 0;

  add(answer: StepAnswer, microseconds: number): void {
    this.#all.add(microseconds);
    this.#by.get(answer.outcome)?.add(microseconds);
    if (answer.driverCalls > 0) this.#withDriverCall += 1;
  }

  get withoutDriverCallShare(): number {
    return this.#all.count === 0 ? 1 : 1 - this.#withDriverCall / this.#all.count;
  }

  summary(): LatencySummary {
    return this.#all.summary();
  }

  histogram(): HistogramBucket[] {
    return this.#all.histogram();
  }

  /** Only the outcomes that happened. */
  byOutcome(): Partial<Record<Outcome, LatencySummary>> {
    const happened = [...this.#by].filter(([, latencies]) => latencies.count > 0);
    return Object.fromEntries(
      happened.map(([outcome, latencies]) => [outcome, latencies.summary()]),
    );
  }
}
