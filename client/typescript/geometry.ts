/**
 * Shapes of a cache: what the engine asks for, and where a layer's K and V lie in a token's row.
 */
import type { CacheGeometry, Dtype, Layout } from '../../proto/domain.js';
import { badField } from '../../proto/errors.js';

export type { CacheGeometry as Geometry, CachePlan, Dtype, Layout } from '../../proto/domain.js';
type Geometry = CacheGeometry;

/** How the tokens of a slot lie in memory; `docs/architecture.md`, "Layouts". */
export const layouts: readonly Layout[] = ['token-major', 'layer-major', 'latent'];

/** Bytes of one element. */
export const dtypeBytes: Readonly<Record<Dtype, number>> = {
  bf16: 2,
  fp16: 2,
  fp32: 4,
  'fp8-e4m3': 1,
  'fp8-e5m2': 1,
};

export type Part = 'key' | 'value';

/** Where a layer's K or V of one token lies: the lane, and its bytes within the lane's row. */
export interface Place {
  readonly lane: number;
  readonly offsetBytes: number;
  /** kvHeads x headDim elements. */
  readonly widthBytes: number;
}

/**
 * What is asked of the daemon: a slot's addresses go on past its longest request, so that this one too
 * has mapped memory behind it for kernels that read whole tiles.
 */
export function reservedFor(geometry: Geometry, overreadTokens: number): Geometry {
  return { ...geometry, maxTokens: geometry.maxTokens + overreadTokens };
}

/** Bytes of one layer's K (or V) of one token. */
export function widthBytes(geometry: Geometry): number {
  return geometry.kvHeads * geometry.headDim * dtypeBytes[geometry.dtype];
}

/** Bytes of one token in one lane, as the layout says; a daemon's plan must agree. */
export function rowBytes(geometry: Geometry): number {
  const width = widthBytes(geometry);
  if (geometry.layout === 'token-major') return width * geometry.layers * 2;
  if (geometry.layout === 'latent') return width * geometry.layers;
  return width;
}

/** Lanes of a slot: address ranges that grow side by side. */
export function laneCount(geometry: Geometry): number {
  return geometry.layout === 'layer-major' ? geometry.layers * 2 : 1;
}

/**
 * Where K or V of `layer` lies. Layer-major has a lane for each, K before V, layer by layer.
 * Throws INVALID_ARGUMENT: a layer out of range; V of a latent cache, which has none.
 */
export function placeOf(geometry: Geometry, layer: number, part: Part): Place {
  if (!Number.isInteger(layer) || layer < 0 || layer >= geometry.layers) {
    throw badField('layer', layer, `0 .. ${geometry.layers - 1}`);
  }
  const width = widthBytes(geometry);
  const second = part === 'value' ? 1 : 0;
  if (geometry.layout === 'token-major') {
    return { lane: 0, offsetBytes: (layer * 2 + second) * width, widthBytes: width };
  }
  if (geometry.layout === 'layer-major') {
    return { lane: layer * 2 + second, offsetBytes: 0, widthBytes: width };
  }
  if (second === 1) {
    throw badField('layout', 'latent', 'a layout with a separate V: use key(), or token-major');
  }
  return { lane: 0, offsetBytes: layer * width, widthBytes: width };
}
