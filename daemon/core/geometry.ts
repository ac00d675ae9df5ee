import { badField } from '../../proto/errors.js';
import {
  HEAD_DIM_MAX,
  KV_HEADS_MAX,
  LAYERS_MAX,
  MAX_TOKENS_MAX,
  SLOTS_MAX,
  integerField,
} from './limits.js';
import {
  PAGE_BYTES,
  bytes,
  type Bytes,
  type CacheGeometry,
  type CachePlan,
  type Dtype,
  type Layout,
} from './types.js';

const elementBytes: Readonly<Record<Dtype, bigint>> = {
  bf16: 2n,
  fp16: 2n,
  fp32: 4n,
  'fp8-e4m3': 1n,
  'fp8-e5m2': 1n,
};

const layouts: readonly Layout[] = ['token-major', 'layer-major', 'latent'];

/** The sizes of a cache's plan: all of `CachePlan` but where it lies. */
export interface PlanSizes {
  readonly totalBytes: Bytes;
  readonly laneCount: number;
  /** One token in one lane. */
  readonly rowBytes: Bytes;
  readonly slotStrideBytes: Bytes;
  readonly laneStrideBytes: Bytes;
}

/** Throws INVALID_ARGUMENT that names the first field out of its range. */
export function checkGeometry(geometry: CacheGeometry): void {
  if (!layouts.includes(geometry.layout)) {
    throw badField('geometry.layout', geometry.layout, layouts.join(', '));
  }
  if (!Object.hasOwn(elementBytes, geometry.dtype)) {
    throw badField('geometry.dtype', geometry.dtype, Object.keys(elementBytes).join(', '));
  }
  // A latent row is one vector for all heads.
  const kvHeadsMax = geometry.layout === 'latent' ? 1 : KV_HEADS_MAX;
  integerField('geometry.layers_count', geometry.layers, 1, LAYERS_MAX);
  integerField('geometry.kv_heads_count', geometry.kvHeads, 1, kvHeadsMax);
  integerField('geometry.head_dim_count', geometry.headDim, 1, HEAD_DIM_MAX);
  integerField('geometry.slots_count', geometry.slots, 1, SLOTS_MAX);
  integerField('geometry.max_tokens_count', geometry.maxTokens, 1, MAX_TOKENS_MAX);
}

/**
 * The sizes of a valid geometry. Lanes are the ranges that a slot has: one, or 2 x layers (K and V
 * of each layer apart) for `layer-major`. The stride of a slot is a whole number of rows, so that a
 * lane is one strided tensor `[slots, tokens, row]`, and of pages, so that no page has two slots.
 */
export function planSizes(geometry: CacheGeometry): PlanSizes {
  const element = elementBytes[geometry.dtype];
  const layers = BigInt(geometry.layers);
  const vector = BigInt(geometry.kvHeads) * BigInt(geometry.headDim) * element;
  const layerMajor = geometry.layout === 'layer-major';
  const laneCount = layerMajor ? 2 * geometry.layers : 1;
  const vectorsPerRow = layerMajor ? 1n : geometry.layout === 'latent' ? layers : 2n * layers;
  const row = vectorsPerRow * vector;
  const slotStride = roundUp(
    BigInt(geometry.maxTokens) * row,
    leastCommonMultiple(row, PAGE_BYTES),
  );
  const laneStride = BigInt(geometry.slots) * slotStride;
  return {
    totalBytes: bytes(BigInt(laneCount) * laneStride),
    laneCount,
    rowBytes: bytes(row),
    slotStrideBytes: bytes(slotStride),
    laneStrideBytes: bytes(laneStride),
  };
}

/** What a slot must have mapped for so many tokens: whole pages of each lane, within its stride. */
export function spanBytes(
  { laneCount, rowBytes, slotStrideBytes }: CachePlan,
  tokens: number,
): Bytes {
  const lane = roundUp(BigInt(tokens) * rowBytes, PAGE_BYTES);
  return bytes(BigInt(laneCount) * (lane < slotStrideBytes ? lane : slotStrideBytes));
}

function roundUp(value: bigint, multiple: bigint): bigint {
  return ((value + multiple - 1n) / multiple) * multiple;
}

function leastCommonMultiple(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b];
  while (y !== 0n) [x, y] = [y, x % y];
  return (a / x) * b;
}
