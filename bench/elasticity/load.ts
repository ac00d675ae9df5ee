/**
 * Loads that rise and fall in turns: each process has a base load, and in its turn a ramp up to more
 * than a third of the pool can hold, while the others are low. What all of them want together is on
 * average never more than the pool has, so that whoever queues does so for want of memory that
 * another could spare.
 */
import { PAGE_BYTES } from '../allocator/plan.js';
import { Random } from '../trace/random.js';
import type { TraceRequest } from '../trace/types.js';
import { type EngineSizes, tokenBytesOfModel } from './sizes.js';

/** What a process wants at its peak, in thirds of the pool. */
const PEAK = 1.7;
/** Of the rate at the peak. */
const BASE_SHARE = 1 / 6;
/** What all want together, in thirds: extents, look-ahead and chance take the rest. */
const TOTAL_MOST = 2.3;
/** From a ramp's foot to its peak, of the whole time. */
const RAMP_SHARE = 0.25;
/** Extents of growing requests are larger than what they hold. */
const SLACK = 1.06;
const SEED = 17;
/** Steps of the calculation, over the time in which requests come. */
const STEPS = 400;
const SAMPLE_MAX = 400;

export interface Scenario {
  readonly name: string;
  readonly engine: EngineSizes;
  readonly load: Load;
  readonly maxTokens: number;
  readonly seconds: number;
}

export type Lengths = Pick<TraceRequest, 'promptTokens' | 'answerTokens'>;

export interface Load {
  /** Of each process, by arrival. */
  readonly requests: readonly (readonly TraceRequest[])[];
  /** When each process wants more than a third, on average; milliseconds. */
  readonly peaks: readonly (readonly [fromMs: number, toMs: number])[];
  /** Of a request on average, if nothing makes it wait. */
  readonly serviceMs: number;
}

/** Of the rate at the peak, for process `index` of `count`, at a moment 0 .. 1. */
export function rateAt(moment: number, index: number, count: number): number {
  if (moment < 0 || moment >= 1) return 0;
  const peak = (2 * index + 1) / (2 * count);
  const height = Math.max(0, 1 - Math.abs(moment - peak) / RAMP_SHARE);
  return BASE_SHARE + (1 - BASE_SHARE) * height;
}

/** Milliseconds, if nothing makes it wait. */
const serviceMsOf = ({ promptTokens, answerTokens }: Lengths, engine: EngineSizes): number =>
  (Math.ceil(promptTokens / engine.prefillBudget) + answerTokens) * engine.passMs;

/** Bytes that a request has after so long. */
function bytesAt(ageMs: number, request: Lengths, engine: EngineSizes): number {
  const share = ageMs / serviceMsOf(request, engine);
  if (share >= 1) return 0;
  const tokens = request.promptTokens + request.answerTokens * share;
  const pages = Math.ceil((tokens * tokenBytesOfModel(engine.model)) / PAGE_BYTES);
  return pages * PAGE_BYTES * SLACK;
}

/**
 * Bytes that processes want at each step, for a rate of one request a step at the peak; the time after
 * the last arrival is as long again, and is looked at too.
 */
export function demandOf(
  sample: readonly Lengths[],
  engine: EngineSizes,
  seconds: number,
  count: number,
): number[][] {
  const stepMs = (seconds * 1000) / STEPS;
  const profile = Array.from({ length: 2 * STEPS }, (_, age) => {
    const bytes = sample.map(request => bytesAt((age + 0.5) * stepMs, request, engine));
    return bytes.reduce((total, one) => total + one, 0) / sample.length;
  });
  return Array.from({ length: count }, (_, index) =>
    profile.map((_bytes, step) => {
      let total = 0;
      for (let age = 0; age <= step; age += 1)
        total += rateAt((step - age) / STEPS, index, count) * (profile[age] as number);
      return total;
    }),
  );
}

/** `pick(process, i)`: the i-th request of a process's own; `sample`: what they are like. */
export function loadOf(
  sample: readonly Lengths[],
  engine: EngineSizes,
  seconds: number,
  thirdBytes: number,
  count: number,
  pick: (process: number, i: number) => Lengths,
): Load {
  const some = sample.slice(0, SAMPLE_MAX);
  const demand = demandOf(some, engine, seconds, count);
  const own = Math.max(...demand.flat());
  const total = Math.max(
    ...(demand[0] as number[]).map((_, step) =>
      demand.reduce((sum, one) => sum + (one[step] as number), 0),
    ),
  );
  const perStep = Math.min((PEAK * thirdBytes) / own, (TOTAL_MOST * thirdBytes) / total);
  const stepMs = (seconds * 1000) / STEPS;
  return {
    requests: demand.map((_, index) =>
      arrivals(seconds, perStep / stepMs, index, count).map((arrivalMs, i) => {
        const { promptTokens, answerTokens } = pick(index, i);
        return { arrivalMs, promptTokens, answerTokens };
      }),
    ),
    peaks: demand.map(one => {
      const above = one.flatMap((bytes, step) => (bytes * perStep > thirdBytes ? [step] : []));
      return [(above[0] ?? 0) * stepMs, ((above.at(-1) ?? -1) + 1) * stepMs] as const;
    }),
    serviceMs: some.reduce((sum, one) => sum + serviceMsOf(one, engine), 0) / some.length,
  };
}

/** When requests come: a Poisson process, `peakRate` a millisecond at the peak. */
export function arrivals(
  seconds: number,
  peakRate: number,
  index: number,
  count: number,
): number[] {
  const random = new Random(SEED + index);
  const times: number[] = [];
  let due = random.exponential();
  let sum = 0;
  for (let ms = 0; ms < seconds * 1000; ms += 1) {
    sum += rateAt(ms / (seconds * 1000), index, count) * peakRate;
    for (; due <= sum; due += random.exponential()) times.push(ms);
  }
  return times;
}

/** Who has not ended when the last request has been there for so many times its service is cut off. */
const SERVICES_AFTER_LOAD = 2;
const AFTER_LOAD_SHARE = 0.25;

export const cutMsOf = ({ seconds, load }: Scenario): number =>
  seconds * 1000 * (1 + AFTER_LOAD_SHARE) + SERVICES_AFTER_LOAD * load.serviceMs;
