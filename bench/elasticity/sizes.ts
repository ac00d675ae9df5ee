/** The sizes that the elasticity bench runs at: on a GPU, on a laptop, and in a smoke test. */
import type { CacheOptions } from '../../client/typescript/index.js';
import type { Site } from '../harness/rig.js';
import { tokenBytesOf } from '../memory/manager.js';

export type ModelShape = Pick<CacheOptions, 'layers' | 'kvHeads' | 'headDim' | 'dtype'> & {
  readonly dtype: 'bf16';
};

/** How one serving process serves. */
export interface EngineSizes {
  readonly model: ModelShape;
  readonly batchMax: number;
  /** Tokens of prompts in one pass. */
  readonly prefillBudget: number;
  /** A pass takes at least so long: what is left of it stands for the model round the attention. */
  readonly passMs: number;
  /** Longer answers are cut to this. */
  readonly answerMax: number;
}

export interface ElasticSizes {
  readonly poolBytes: number;
  /** Of each way of a scenario; requests come that long. */
  readonly seconds: number;
  readonly ramps: EngineSizes & { readonly promptTokens: number; readonly answerTokens: number };
  readonly trace: EngineSizes;
  readonly moveBytes: number;
  /** Idle spans that are given, where there are many; requests that take, where there are several. */
  readonly moveSpans: number;
  readonly moveRequests: number;
  readonly moveRepeats: number;
  /** Requests that live on in both processes meanwhile. */
  readonly liveSlots: number;
  readonly grantSeconds: number;
}

const MIB = 1024 ** 2;
const GIB = 1024 * MIB;
const ANY = 1_000_000;

/** As Llama-3-8B: 128 KiB a token. */
const llama8b = { layers: 32, kvHeads: 8, headDim: 128, dtype: 'bf16' } as const;
/** As Qwen2.5-1.5B: 28 KiB a token, so that a third holds some dozens of a trace's long requests. */
const qwen1b = { layers: 28, kvHeads: 2, headDim: 128, dtype: 'bf16' } as const;
/** 16 and 4 KiB a token, for ordinary memory. */
const small = { layers: 8, kvHeads: 4, headDim: 128, dtype: 'bf16' } as const;
const tiny = { layers: 4, kvHeads: 2, headDim: 128, dtype: 'bf16' } as const;

const gpuEngine = { batchMax: 512, prefillBudget: 2048, passMs: 10, answerMax: ANY };
const hostEngine = { batchMax: 256, prefillBudget: 256, passMs: 20, answerMax: ANY };
const smokeEngine = { batchMax: 64, prefillBudget: 512, passMs: 5, answerMax: 12 };

const gpu: ElasticSizes = {
  poolBytes: 24 * GIB,
  seconds: 12,
  ramps: { ...gpuEngine, model: llama8b, promptTokens: 256, answerTokens: 256 },
  trace: { ...gpuEngine, model: qwen1b, passMs: 5 },
  moveBytes: 10 * GIB,
  moveSpans: 160,
  moveRequests: 16,
  moveRepeats: 5,
  liveSlots: 64,
  grantSeconds: 4,
};

const host: ElasticSizes = {
  poolBytes: 768 * MIB,
  seconds: 20,
  ramps: { ...hostEngine, model: small, promptTokens: 256, answerTokens: 256 },
  trace: { ...hostEngine, model: tiny, passMs: 5, prefillBudget: 1024 },
  moveBytes: 256 * MIB,
  moveSpans: 32,
  moveRequests: 8,
  moveRepeats: 5,
  liveSlots: 16,
  grantSeconds: 4,
};

const smoke: ElasticSizes = {
  poolBytes: 96 * MIB,
  seconds: 0.5,
  ramps: { ...smokeEngine, model: small, promptTokens: 64, answerTokens: 12 },
  trace: { ...smokeEngine, model: tiny },
  moveBytes: 32 * MIB,
  moveSpans: 8,
  moveRequests: 2,
  moveRepeats: 1,
  liveSlots: 4,
  grantSeconds: 0.4,
};

export function sizesFor({ backend, options }: Pick<Site, 'backend' | 'options'>): ElasticSizes {
  const sizes = options.smoke ? smoke : backend === 'cuda' ? gpu : host;
  const moveBytes = options.moveBytes ?? sizes.moveBytes;
  return {
    ...sizes,
    // Where more is moved there is more to move it in; the scenarios' loads follow the pool.
    poolBytes: Math.max(sizes.poolBytes, 2 * moveBytes),
    seconds: options.seconds ?? sizes.seconds,
    moveBytes,
    moveRepeats: options.repeats ?? sizes.moveRepeats,
  };
}

export const tokenBytesOfModel = (model: ModelShape): number => tokenBytesOf(model);
