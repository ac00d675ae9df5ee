/**
 * The nouns that daemon and client share, and their wire forms. Structural on purpose: the daemon's
 * core has the same nouns with branded sizes, which fit where these are wanted.
 */
import { decodeUint32, decodeUint64, encodeUint32, encodeUint64 } from './codec.js';
import { badField } from './errors.js';
import type {
  CacheGeometry__Output,
  CacheGeometry as WireGeometry,
} from './generated/kvspan/v1/CacheGeometry.js';
import type { CachePlan__Output, CachePlan as WirePlan } from './generated/kvspan/v1/CachePlan.js';

const layouts = {
  'token-major': 'LAYOUT_TOKEN_MAJOR',
  'layer-major': 'LAYOUT_LAYER_MAJOR',
  latent: 'LAYOUT_LATENT',
} as const;

const dtypes = {
  bf16: 'DTYPE_BF16',
  fp16: 'DTYPE_FP16',
  fp32: 'DTYPE_FP32',
  'fp8-e4m3': 'DTYPE_FP8_E4M3',
  'fp8-e5m2': 'DTYPE_FP8_E5M2',
} as const;

export type Layout = keyof typeof layouts;
export type Dtype = keyof typeof dtypes;

export interface CacheGeometry {
  readonly layout: Layout;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly dtype: Dtype;
  /** Requests that can be live at once. */
  readonly slots: number;
  /** The longest request, in tokens. */
  readonly maxTokens: number;
}

/** The address of token t of slot s in lane l: base + l * laneStride + s * slotStride + t * row. */
export interface CachePlan {
  readonly baseAddress: bigint;
  readonly totalBytes: bigint;
  readonly laneCount: number;
  readonly rowBytes: bigint;
  readonly slotStrideBytes: bigint;
  readonly laneStrideBytes: bigint;
}

function toWireName<Names extends Record<string, string>>(
  names: Names,
  name: string,
  field: string,
): Names[keyof Names] {
  if (!Object.hasOwn(names, name)) throw badField(field, name, Object.keys(names).join(', '));
  return names[name] as Names[keyof Names];
}

/** An unknown number of an enum arrives as a number, UNSPECIFIED as its name: both are refused. */
function fromWireName<Name extends string>(
  names: Readonly<Record<Name, string>>,
  wire: unknown,
  field: string,
): Name {
  const found = (Object.keys(names) as Name[]).find(name => names[name] === wire);
  if (found === undefined) throw badField(field, wire, Object.values(names).join(', '));
  return found;
}

/** Field names in errors are the wire's, under `geometry.`. */
export function encodeGeometry(geometry: CacheGeometry): WireGeometry {
  return {
    layout: toWireName(layouts, geometry.layout, 'geometry.layout'),
    layersCount: encodeUint32(geometry.layers, 'geometry.layers_count'),
    kvHeadsCount: encodeUint32(geometry.kvHeads, 'geometry.kv_heads_count'),
    headDimCount: encodeUint32(geometry.headDim, 'geometry.head_dim_count'),
    dtype: toWireName(dtypes, geometry.dtype, 'geometry.dtype'),
    slotsCount: encodeUint32(geometry.slots, 'geometry.slots_count'),
    maxTokensCount: encodeUint32(geometry.maxTokens, 'geometry.max_tokens_count'),
  };
}

export function decodeGeometry(wire: CacheGeometry__Output | null | undefined): CacheGeometry {
  if (wire === null || wire === undefined) throw badField('geometry', wire, 'a CacheGeometry');
  return {
    layout: fromWireName(layouts, wire.layout, 'geometry.layout'),
    layers: decodeUint32(wire.layersCount, 'geometry.layers_count'),
    kvHeads: decodeUint32(wire.kvHeadsCount, 'geometry.kv_heads_count'),
    headDim: decodeUint32(wire.headDimCount, 'geometry.head_dim_count'),
    dtype: fromWireName(dtypes, wire.dtype, 'geometry.dtype'),
    slots: decodeUint32(wire.slotsCount, 'geometry.slots_count'),
    maxTokens: decodeUint32(wire.maxTokensCount, 'geometry.max_tokens_count'),
  };
}

export function encodePlan(plan: CachePlan): WirePlan {
  return {
    baseAddress: encodeUint64(plan.baseAddress, 'plan.base_address'),
    totalBytes: encodeUint64(plan.totalBytes, 'plan.total_bytes'),
    laneCount: encodeUint32(plan.laneCount, 'plan.lane_count'),
    rowBytes: encodeUint64(plan.rowBytes, 'plan.row_bytes'),
    slotStrideBytes: encodeUint64(plan.slotStrideBytes, 'plan.slot_stride_bytes'),
    laneStrideBytes: encodeUint64(plan.laneStrideBytes, 'plan.lane_stride_bytes'),
  };
}

export function decodePlan(wire: CachePlan__Output | null | undefined): CachePlan {
  if (wire === null || wire === undefined) throw badField('plan', wire, 'a CachePlan');
  return {
    baseAddress: decodeUint64(wire.baseAddress, 'plan.base_address'),
    totalBytes: decodeUint64(wire.totalBytes, 'plan.total_bytes'),
    laneCount: decodeUint32(wire.laneCount, 'plan.lane_count'),
    rowBytes: decodeUint64(wire.rowBytes, 'plan.row_bytes'),
    slotStrideBytes: decodeUint64(wire.slotStrideBytes, 'plan.slot_stride_bytes'),
    laneStrideBytes: decodeUint64(wire.laneStrideBytes, 'plan.lane_stride_bytes'),
  };
}
