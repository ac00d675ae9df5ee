/**
 * Loads that rise and fall in turns: each process has a base load, and in its turn a ramp up to more
 * than a third of the pool can hold, while the others are low. What the pool holds in all is never
 * passed on average, so that whoever queues does so for want of the others' memory.
 */
import { Random } from '../trace/random.js';
import type { TraceRequest } from '../trace/types.js';
import { type EngineSizes, tokenBytesOfModel } from './sizes.js';

/** In units of what a third of the pool holds; peak and twice base are 2.4 of the 3 thirds. */
const BASE = 0.3;
const PEAK = 1.8;
/** From a ramp's foot to its peak, of the whole time. */
const RAMP_SHARE = 0.25;
/** Extents are larger than what they hold: an eighth at most, half of that on average. */
const SLACK = 1.07;
const SEED = 17;

/** Of process `index` of `count` at a moment (0 .. 1): what it wants of a third. */
export function demandAt(moment: number, index: number, count: number): number {
  const peak = peakOf(index, count);
  const height = Math.max(0, 1 - Math.abs(moment - peak) / RAMP_SHARE);
  return BASE + (PEAK - BASE) * height;
}

const peakOf = (index: number, count: number): number => (2 * index + 1) / (2 * count);

/** The upper half of a process's ramp, as shares of the time. */
export function peakWindow(index: number, count: number): readonly [from: number, to: number] {
  const peak = peakOf(index, count);
  return [Math.max(0, peak - RAMP_SHARE / 2), Math.min(1, peak + RAMP_SHARE / 2)];
}

/** Byte-seconds that a request has of the pool, on average over these. */
export function costOf(
  requests: readonly Pick<TraceRequest, 'promptTokens' | 'answerTokens'>[],
  engine: EngineSizes,
): number {
  const tokenBytes = tokenBytesOfModel(engine.model) * SLACK;
  const total = requests.reduce((sum, { promptTokens, answerTokens }) => {
    const passes = Math.ceil(promptTokens / engine.prefillBudget) + answerTokens;
    return (
      sum + (promptTokens + answerTokens / 2) * tokenBytes * ((passes * engine.passMs) / 1000)
    );
  }, 0);
  return total / requests.length;
}

/**
 * When requests come, in milliseconds: a Poisson process of the demand's rate. The same seed gives
 * the same times.
 */
export function arrivals(
  seconds: number,
  rateOfThird: number,
  index: number,
  count: number,
): number[] {
  const random = new Random(SEED + index);
  const times: number[] = [];
  let due = random.exponential();
  let sum = 0;
  for (let ms = 0; ms < seconds * 1000; ms += 1) {
    sum += (demandAt(ms / (seconds * 1000), index, count) * rateOfThird) / 1000;
    for (; due <= sum; due += random.exponential()) times.push(ms);
  }
  return times;
}

/** The requests of each process: `pick(i)` is the i-th request of a process's own. */
export function loadOf(
  seconds: number,
  thirdBytes: number,
  count: number,
  cost: number,
  pick: (process: number, i: number) => Pick<TraceRequest, 'promptTokens' | 'answerTokens'>,
): TraceRequest[][] {
  const rateOfThird = thirdBytes / cost;
  return Array.from({ length: count }, (_, index) =>
    arrivals(seconds, rateOfThird, index, count).map((arrivalMs, i) => {
      const { promptTokens, answerTokens } = pick(index, i);
      return { arrivalMs, promptTokens, answerTokens };
    }),
  );
}
