/**
 * A layer's K or V as a strided tensor over addresses that never change while the cache lives, so
 * that kernels and captured graphs can keep them.
 */
import {
  type CachePlan,
  type Dtype,
  dtypeBytes,
  type Geometry,
  type Part,
  placeOf,
} from './geometry.js';

/** `[slots, maxTokens, kvHeads, headDim]`; only a slot's mapped tokens may be touched. */
export interface StridedView {
  /** Of element [0, 0, 0, 0]. On the cuda backend a device address. */
  readonly address: bigint;
  readonly shape: readonly [slots: number, maxTokens: number, kvHeads: number, headDim: number];
  /** In elements, as tensor libraries want them. */
  readonly strides: readonly [slot: number, token: number, head: number, dim: number];
  readonly strideBytes: readonly [slot: number, token: number, head: number, dim: number];
  readonly dtype: Dtype;
  /** The lane that it lies in, and its offset within a token's row there. */
  readonly lane: number;
  readonly offsetBytes: number;
}

export function viewOf(
  geometry: Geometry,
  plan: CachePlan,
  layer: number,
  part: Part,
): StridedView {
  const place = placeOf(geometry, layer, part);
  const elementBytes = dtypeBytes[geometry.dtype];
  // The address plan is 64 TiB: its strides are exact as doubles.
  const strideBytes = [
    Number(plan.slotStrideBytes),
    Number(plan.rowBytes),
    geometry.headDim * elementBytes,
    elementBytes,
  ] as const;
  const [slot, token, head, dim] = strideBytes;
  return Object.freeze({
    address:
      plan.baseAddress + BigInt(place.lane) * plan.laneStrideBytes + BigInt(place.offsetBytes),
    shape: [geometry.slots, geometry.maxTokens, geometry.kvHeads, geometry.headDim] as const,
    strides: [
      slot / elementBytes,
      token / elementBytes,
      head / elementBytes,
      dim / elementBytes,
    ] as const,
    strideBytes,
    dtype: geometry.dtype,
    lane: place.lane,
    offsetBytes: place.offsetBytes,
  });
}
