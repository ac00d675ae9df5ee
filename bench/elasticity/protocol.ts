/** What the bench and its serving processes say to each other. */
import type { DeviceOptions } from '../../native/index.js';
import type { TraceRequest } from '../trace/types.js';
import type { EngineSizes, ModelShape } from './sizes.js';

/** Where a process finds its daemon and device, and as whom. */
export interface Place {
  readonly socketDirectory: string;
  readonly tenant: string;
  readonly device: DeviceOptions;
}

/** Serves requests as they come. */
export interface ServeJob {
  readonly kind: 'serve';
  readonly place: Place;
  readonly engine: EngineSizes;
  readonly maxTokens: number;
  readonly requests: readonly TraceRequest[];
  /** When the last request has come, and when the process stops whatever is left; from the start. */
  readonly loadMs: number;
  readonly cutMs: number;
  readonly guaranteedBytes: number;
}

/** Has idle memory in spans of so many tokens, and the rest of the pool under live requests. */
export interface HoldJob {
  readonly kind: 'hold';
  readonly place: Place;
  readonly model: ModelShape;
  readonly tokens: number;
  readonly count: number;
  readonly liveSlots: number;
}

/** Asks for as much, for so many requests at once. */
export interface TakeJob {
  readonly kind: 'take';
  readonly place: Place;
  readonly model: ModelShape;
  readonly tokens: number;
  readonly count: number;
  readonly liveSlots: number;
}

/** Takes memory and gives it back, more than is its own. */
export interface ContendJob {
  readonly kind: 'contend';
  readonly place: Place;
  readonly seconds: number;
  readonly guaranteedBytes: number;
  readonly mostBytes: number;
  readonly seed: number;
}

export type Job = ServeJob | HoldJob | TakeJob | ContendJob;

/** Times of day in milliseconds, the same in every process; durations in microseconds. */
export interface StepSamples {
  readonly atMs: Float64Array;
  readonly us: Float64Array;
}

export interface ServedRequest {
  readonly arrivalMs: number;
  /** From the start of the run; null: it did not come to that. */
  readonly firstTokenMs: number | null;
  readonly endMs: number | null;
}

export interface MemorySample {
  readonly atMs: number;
  readonly liveBytes: number;
  readonly heldBytes: number;
}

export interface ServeAnswer {
  readonly requests: readonly ServedRequest[];
  readonly memory: readonly MemorySample[];
  /** Microseconds of each `tryStep`. */
  readonly steps: Float64Array;
  /** Milliseconds of each pass without its rest. */
  readonly passes: Float64Array;
  readonly generatedTokens: number;
  readonly preempted: number;
  readonly reclaims: number;
  /** Grants inside the guarantee that their deadline passed without. */
  readonly missed: number;
  /** Tokens that were read back and were not what was written. */
  readonly mismatches: number;
  readonly work: 'kernels' | 'writes';
}

export interface HoldAnswer {
  readonly steps: StepSamples;
  /** Bytes of each extent that was idle at the beginning. */
  readonly extents: readonly number[];
}

export interface TakeAnswer {
  readonly steps: StepSamples;
  readonly extents: readonly number[];
  readonly beginMs: number;
  readonly endMs: number;
}

export interface ContendAnswer {
  /** Microseconds of the grants that were met: within the guarantee, and beyond it. */
  readonly inside: Float64Array;
  readonly beyond: Float64Array;
  readonly refusedBeyond: number;
  readonly missed: number;
}

export interface Answers {
  readonly serve: ServeAnswer;
  readonly hold: HoldAnswer;
  readonly take: TakeAnswer;
  readonly contend: ContendAnswer;
}

export type ToProcess =
  | { readonly type: 'job'; readonly job: Job }
  /** Everybody is ready: begin at this time of day. */
  | { readonly type: 'go'; readonly atMs: number }
  | { readonly type: 'halt' };

export type FromProcess =
  | { readonly type: 'ready' }
  | { readonly type: 'done'; readonly answer: Answers[keyof Answers] }
  | { readonly type: 'failed'; readonly message: string };

/** The time of day with the fraction of a millisecond. */
export const timeOfDay = (): number => performance.timeOrigin + performance.now();
