/** One case over one layout after the other: checked launches, L2 emptied before each, medians. */
import type { KernelBatch, KernelWork } from '../../native/index.js';
import {
  type AttentionCase,
  flopsOf,
  headBytes,
  kvBytesOf,
  queryRowBytes,
  shape,
  sum,
} from './cases.js';
import type { Gpu } from './gpu.js';
import type { Placed } from './layouts.js';

const WARMUPS = 3;
/** Of the later rounds: everything was launched a moment ago. */
const WARMUPS_LATER = 1;
/** The variants take turns, so that a clock that moves moves all of them. */
const ROUNDS = 4;

export interface Sampled {
  readonly name: string;
  readonly paged: boolean;
  /** Microseconds. */
  readonly samples: readonly number[];
}

/** What a case needs beside K and V; the same for all its variants. */
export class Stage {
  readonly #gpu: Gpu;
  readonly #case: AttentionCase;
  readonly #queries: bigint;
  readonly #out: bigint;
  readonly #plan;

  constructor(gpu: Gpu, attention: AttentionCase) {
    this.#gpu = gpu;
    this.#case = attention;
    const bytes = sum(attention.queries) * queryRowBytes;
    this.#queries = gpu.allocate(bytes);
    this.#out = gpu.allocate(bytes);
    gpu.fill(this.#queries, bytes);
    this.#plan = attention.kind === 'decode' ? this.#decodePlan() : this.#prefillPlan();
  }

  prepare({ kv }: Pick<Placed, 'kv'>): KernelBatch {
    const common = {
      shape,
      kv,
      queries: rowsAt(this.#queries),
      out: rowsAt(this.#out),
      options: { scale: shape.headDim ** -0.5, softCap: null, window: null, alibiSlopes: null },
    };
    const plan = this.#plan;
    const work: KernelWork =
      plan.kind === 'decode'
        ? { ...common, kind: 'decode', plan: plan.plan }
        : { ...common, kind: 'prefill', plan: plan.plan, variant: this.#case.kernel };
    return this.#gpu.kernels.prepare([work]);
  }

  close(): void {
    this.#plan.plan.close();
    this.#gpu.free(this.#queries);
    this.#gpu.free(this.#out);
  }

  #decodePlan() {
    const { lengths } = this.#case;
    const plan = this.#gpu.kernels.createDecodePlan({
      shape,
      requestsMax: lengths.length,
      tokensMax: Math.max(...lengths),
      window: null,
    });
    plan.update(lengths, this.#gpu.stream);
    return { kind: 'decode', plan } as const;
  }

  #prefillPlan() {
    const { lengths, queries } = this.#case;
    const plan = this.#gpu.kernels.createPrefillPlan({
      shape,
      requestsMax: lengths.length,
      queriesMax: sum(queries),
      tokensMax: Math.max(...lengths),
    });
    const starts = new Int32Array(queries.length + 1);
    for (const [index, count] of queries.entries())
      starts[index + 1] = (starts[index] as number) + count;
    plan.update(starts, lengths, this.#gpu.stream);
    return { kind: 'prefill', plan } as const;
  }
}

export const rowsAt = (address: bigint) => ({
  address,
  rowStrideBytes: BigInt(queryRowBytes),
  headStrideBytes: BigInt(headBytes),
});

/** All variants of a case; `runs` in all for each. */
export function sample(
  gpu: Gpu,
  attention: AttentionCase,
  placed: readonly Placed[],
  runs: number,
): Sampled[] {
  const stage = new Stage(gpu, attention);
  const batches = placed.map(place => stage.prepare(place));
  const samples = placed.map((): number[] => []);
  const { stream, flush } = gpu;
  for (let round = 0; round < ROUNDS; round += 1) {
    const warmups = round === 0 ? WARMUPS : WARMUPS_LATER;
    for (const [index, batch] of batches.entries()) {
      const each = Math.ceil(runs / ROUNDS);
      samples[index]?.push(...batch.time({ stream, warmups, runs: each, flush }));
    }
  }
  for (const batch of batches) batch.close();
  stage.close();
  return placed.map(({ name, paged }, index) => ({
    name,
    paged,
    samples: samples[index] as number[],
  }));
}

/** GB/s of K and V in decode, TFLOP/s in prefill. */
export function speedOf(attention: AttentionCase, us: number): number {
  if (attention.kind === 'decode') return kvBytesOf(attention) / us / 1e3;
  return flopsOf(attention) / us / 1e6;
}
