/** The sizes that the allocator bench runs at: an 8B model on a GPU, a smaller one on a laptop. */
import type { CacheOptions, Session } from '../../client/typescript/index.js';

export interface Workload {
  readonly geometry: Pick<CacheOptions, 'layers' | 'kvHeads' | 'headDim' | 'dtype'>;
  readonly rowBytes: number;
  readonly slots: number;
  readonly repeats: number;
  readonly stepsPerRepeat: number;
  readonly coldGrantBytes: readonly number[];
  readonly growthBytes: readonly number[];
  readonly residentExtents: number;
  /** Before the cold ones: both processes' code is compiled by use, and daemons run for days. */
  readonly warmUpGrants: number;
}

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** 32 layers, 8 KV heads, head dim 128, bf16: 128 KiB a token, as Llama-3-8B. */
export const llama8b = { layers: 32, kvHeads: 8, headDim: 128, dtype: 'bf16' } as const;
/** 4 KiB a token: 256 live slots fit in half a GiB of ordinary memory. */
export const small = { layers: 4, kvHeads: 2, headDim: 128, dtype: 'bf16' } as const;

export function workloadFor(backend: string, smoke: boolean, repeats: number | null): Workload {
  const workload = sizes(backend, smoke);
  return repeats === null ? workload : { ...workload, repeats };
}

function sizes(backend: string, smoke: boolean): Workload {
  if (smoke) {
    return {
      geometry: small,
      rowBytes: 4096,
      slots: 32,
      repeats: 3,
      stepsPerRepeat: 200,
      coldGrantBytes: [2 * MIB, 16 * MIB],
      growthBytes: [32 * MIB],
      residentExtents: 500,
      warmUpGrants: 3,
    };
  }
  const gpu = backend === 'cuda';
  return {
    geometry: gpu ? llama8b : small,
    rowBytes: gpu ? 131072 : 4096,
    slots: 256,
    repeats: 20,
    stepsPerRepeat: 5000,
    coldGrantBytes: [2 * MIB, 64 * MIB, GIB],
    growthBytes: gpu ? [GIB, 24 * GIB] : [GIB],
    residentExtents: 10_000,
    warmUpGrants: 200,
  };
}

export interface OneSlot {
  readonly session: Session;
  readonly tokens: number;
}

/** Tokens that fit in so many bytes of mapped memory. */
export const tokensIn = (bytes: number, workload: Workload): number =>
  Math.floor(bytes / workload.rowBytes);
