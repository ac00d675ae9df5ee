/** The sizes at which traces are replayed: a GPU's, or small ones that ordinary memory can hold. */
import { llama8b, small } from '../allocator/workload.js';
import type { Site } from '../harness/rig.js';
import { type NamedTrace, longestOf } from '../trace/load.js';
import type { MemoryShape } from './manager.js';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

export interface MemoryScale {
  readonly geometry: typeof llama8b | typeof small;
  readonly poolBytes: number;
  /** Of each trace, from its beginning. */
  readonly requestsMax: number;
  readonly batchMax: number;
}

const FULL_POOL_BYTES = 40 * GIB;
/** What of a device others may have taken already. */
const DEVICE_SHARE = 0.9;

/** 40 GiB and 128 KiB a token where they fit; a 32nd of both where they do not. */
export function memoryScale({ backend, device, options }: Site): MemoryScale {
  if (options.smoke) return { geometry: small, poolBytes: 96 * MIB, requestsMax: 60, batchMax: 64 };
  const fits = Number(device.freeBytes) * DEVICE_SHARE >= FULL_POOL_BYTES;
  if (backend === 'cuda' && fits) {
    const requestsMax = Number.POSITIVE_INFINITY;
    return { geometry: llama8b, poolBytes: FULL_POOL_BYTES, requestsMax, batchMax: 1024 };
  }
  return { geometry: small, poolBytes: FULL_POOL_BYTES / 32, requestsMax: 300, batchMax: 1024 };
}

/** Lengths are rounded up to this: an engine's longest length is a round number. */
const LENGTH_TOKENS = 1024;

/** The longest request of the trace is the longest that must be possible. */
export function shapeOf(scale: MemoryScale, trace: NamedTrace): MemoryShape {
  const { poolBytes, batchMax, geometry } = scale;
  const maxTokens = Math.ceil(longestOf(trace.requests) / LENGTH_TOKENS) * LENGTH_TOKENS;
  return { ...geometry, poolBytes, batchMax, maxTokens };
}
