/** The sizes of the growth bench: Llama-3-8B on a GPU, small ones elsewhere. */
import { llama8b, small } from '../allocator/workload.js';
import type { Site } from '../harness/rig.js';
import { laneRowBytesOf, tokenBytesOf } from '../memory/manager.js';

export const PAGE_BYTES = 2 * 1024 * 1024;

export interface GrowthWorkload {
  readonly geometry: typeof llama8b | typeof small;
  readonly tokenBytes: number;
  /** K and V of each layer: how many buffers the per-layer way has, and tokens in a page of one. */
  readonly lanes: number;
  readonly laneTokens: number;
  readonly repeats: number;
  readonly promptTokens: readonly number[];
  readonly decode: DecodeWorkload;
}

export interface DecodeWorkload {
  readonly batch: number;
  readonly steps: number;
  /** Lengths at the first step; a request crosses into a new per-layer page half-way. */
  readonly baseTokens: number;
  /** Stands for the batch's prefill, in which an engine's loop runs and its magazine fills. */
  readonly prefillMs: number;
  /** Stands for a forward pass where somebody works ahead of it. */
  readonly passMs: number;
}

const REPEATS = 20;
const K = 1024;
/** Of the device's free memory, what the longest prompt may take. */
const PROMPT_SHARE = 0.5;

export function growthWorkload({ backend, device, options }: Site): GrowthWorkload {
  const gpu = backend === 'cuda' && !options.smoke;
  const geometry = gpu ? llama8b : small;
  const tokenBytes = tokenBytesOf(geometry);
  const laneTokens = PAGE_BYTES / laneRowBytesOf(geometry);
  const prompts = options.smoke ? [1 * K, 4 * K] : [1 * K, 4 * K, 16 * K, 64 * K, 192 * K];
  const budget = Number(device.freeBytes) * PROMPT_SHARE;
  const steps = gpu ? 1024 : options.smoke ? 32 : 256;
  return {
    geometry,
    tokenBytes,
    lanes: 2 * geometry.layers,
    laneTokens,
    repeats: options.repeats ?? (options.smoke ? 3 : REPEATS),
    promptTokens: prompts.filter(tokens => tokens * tokenBytes <= budget),
    decode: {
      batch: gpu ? 64 : options.smoke ? 4 : 16,
      steps,
      baseTokens: (gpu ? 2 : 1) * laneTokens - steps / 2,
      prefillMs: options.smoke ? 10 : 100,
      passMs: options.smoke ? 1 : 5,
    },
  };
}

/**
 * First lengths of the batch: all equal (`in phase`: everybody crosses into a new page at the same
 * step, the worst there is), or spread evenly over a per-layer page (`staggered`, as they would be).
 */
export function firstLengths(workload: GrowthWorkload, phase: 'staggered' | 'in phase'): number[] {
  const { batch, baseTokens } = workload.decode;
  const spread = phase === 'staggered' ? workload.laneTokens / batch : 0;
  return Array.from({ length: batch }, (_, slot) => baseTokens + Math.floor(slot * spread));
}

/** The fewest extents of 2^0 .. 2^9 pages that make up so many bytes, as counts by order. */
export function fewestExtents(bytes: number): number[] {
  const counts = Array.from({ length: 10 }, () => 0);
  let pages = Math.ceil(bytes / PAGE_BYTES);
  for (let order = 9; order >= 0; order -= 1) {
    counts[order] = Math.floor(pages / 2 ** order);
    pages %= 2 ** order;
  }
  return counts;
}
