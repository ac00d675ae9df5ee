/** What attention is measured on, and how many bytes and operations it is. */
import type { AttentionShape, PrefillWork } from '../../native/index.js';
import { Random } from '../trace/random.js';
import type { TraceRequest } from '../trace/types.js';

/** One layer of Llama-3-8B. */
export const shape: AttentionShape = {
  dtype: 'bf16',
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
};

const ELEMENT_BYTES = 2;

/** K, or V, of one token in one layer. */
export const kvRowBytes = shape.kvHeads * shape.headDim * ELEMENT_BYTES;
/** Queries, or outputs, of one token in one layer. */
export const queryRowBytes = shape.queryHeads * shape.headDim * ELEMENT_BYTES;
export const headBytes = shape.headDim * ELEMENT_BYTES;

/** New queries over the tokens so far; in decode one a request. */
export interface AttentionCase {
  readonly kind: 'decode' | 'prefill';
  readonly name: string;
  /** Tokens of each request, the new ones among them. */
  readonly lengths: Int32Array;
  /** New tokens of each request, the last of its length. */
  readonly queries: Int32Array;
  /** Of a prefill: which of its kernels. */
  readonly kernel: PrefillKernel;
}

export type PrefillKernel = Exclude<PrefillWork['variant'], 'fastest'>;

const K = 1024;

export function decodeCase(name: string, lengths: readonly number[]): AttentionCase {
  return {
    kind: 'decode',
    name,
    lengths: Int32Array.from(lengths),
    queries: Int32Array.from(lengths, () => 1),
    kernel: 'portable',
  };
}

const even = (batch: number, tokens: number): AttentionCase =>
  decodeCase(
    `decode, ${batch} x ${tokens}`,
    Array.from({ length: batch }, () => tokens),
  );

/** `queries` new tokens behind `context` older ones, of one request. */
export function prefillCase(
  queries: number,
  context: number,
  kernel: PrefillKernel = 'portable',
): AttentionCase {
  const tokens = context === 0 ? `${queries}` : `${queries} over ${context}`;
  return {
    kind: 'prefill',
    name: `prefill, ${tokens}, ${kernel} kernel`,
    kernel,
    lengths: Int32Array.of(context + queries),
    queries: Int32Array.of(queries),
  };
}

const SKEWED_BATCH = 64;
const SKEWED_SEED = 7;

/** A batch as it stands at some moment: requests drawn from the trace, each a way into its answer. */
export function skewedLengths(trace: readonly TraceRequest[], batch: number, seed: number) {
  const random = new Random(seed);
  return Array.from({ length: batch }, () => {
    const request = trace[random.integer(0, trace.length - 1)] as TraceRequest;
    return request.promptTokens + Math.floor(random.uniform() * (request.answerTokens + 1));
  });
}

export function decodeCases(
  smoke: boolean,
  trace: { readonly name: string; readonly requests: readonly TraceRequest[] },
): AttentionCase[] {
  const batch = smoke ? 4 : SKEWED_BATCH;
  const lengths = skewedLengths(trace.requests, batch, SKEWED_SEED);
  const skewed = decodeCase(`decode, ${batch} of unequal lengths (${trace.name})`, lengths);
  if (smoke) return [even(1, K), even(4, 512), skewed];
  return [
    even(1, 16 * K),
    even(8, 16 * K),
    even(16, 8 * K),
    even(64, 4 * K),
    even(32, 16 * K),
    skewed,
  ];
}

/** By each of the kernels that the device has. */
export function prefillCases(smoke: boolean, kernels: readonly PrefillKernel[]): AttentionCase[] {
  const sizes = smoke
    ? ([
        [512, 0],
        [256, 512],
      ] as const)
    : ([
        [4 * K, 0],
        [16 * K, 0],
        [64 * K, 0],
        [2 * K, 16 * K],
        [2 * K, 64 * K],
      ] as const);
  return kernels.flatMap(kernel =>
    sizes.map(([queries, context]) => prefillCase(queries, context, kernel)),
  );
}

export const sum = (values: Iterable<number>): number => {
  let total = 0;
  for (const value of values) total += value;
  return total;
};

/** K and V that a decode must read, each once. */
export const kvBytesOf = ({ lengths }: AttentionCase): number => 2 * kvRowBytes * sum(lengths);

/** Two multiply-adds for each pair of a query and a key that it sees, element and query head. */
export function flopsOf({ lengths, queries }: AttentionCase): number {
  const pairs = sum(
    // Not lengths.map, whose results would have to fit 32 bits.
    Array.from(lengths, (length, index) => {
      const count = queries[index] as number;
      return count * (length - count) + (count * (count + 1)) / 2;
    }),
  );
  return 4 * pairs * shape.queryHeads * shape.headDim;
}
