/** Moving rows between a caller's buffer and a slot, and computing over them. */
import { badField } from '../../../proto/errors.js';
import { loadNative, type NativeCache } from '../../../native/index.js';
import { type Geometry, type Place, placeOf, rowBytes } from '../geometry.js';

export function writeRows(
  cache: NativeCache,
  slot: number,
  place: Place,
  firstToken: number,
  tokens: number,
  rows: Uint8Array,
): void {
  cache.write(slot, place.lane, firstToken, tokens, place.offsetBytes, place.widthBytes, rows);
}

export function readRows(
  cache: NativeCache,
  slot: number,
  place: Place,
  firstToken: number,
  tokens: number,
  into: Uint8Array,
): Uint8Array {
  cache.read(slot, place.lane, firstToken, tokens, place.offsetBytes, place.widthBytes, into);
  return into;
}

/** The whole rows of a layout that keeps all layers of a token together. */
export function wholeRow(geometry: Geometry): Place {
  if (geometry.layout === 'layer-major') {
    throw badField(
      'layout',
      geometry.layout,
      'token-major or latent: the layers of a layer-major token lie apart',
    );
  }
  return { lane: 0, offsetBytes: 0, widthBytes: rowBytes(geometry) };
}

export interface Attention {
  readonly queryHeads: number;
  readonly scale: number;
  /** [queries, queryHeads, headDim] */
  readonly queries: Float32Array;
}

/** K and V of the layer: a latent cache has one vector for both. */
function placesOf(
  geometry: Geometry,
  layer: number,
): { readonly key: Place; readonly value: Place } {
  const key = placeOf(geometry, layer, 'key');
  return { key, value: geometry.layout === 'latent' ? key : placeOf(geometry, layer, 'value') };
}

/** Causal attention of the last queries over all tokens of the slot, by the dense CPU kernel. */
export function attend(
  cache: NativeCache,
  backend: 'host' | 'cuda',
  geometry: Geometry,
  layer: number,
  slot: number,
  attention: Attention,
): Promise<Float32Array> {
  const { dtype, kvHeads, headDim } = geometry;
  if (dtype !== 'bf16' && dtype !== 'fp32')
    throw badField('dtype', dtype, 'bf16, fp32: the CPU kernel has no other');
  const { key, value } = placesOf(geometry, layer);
  const request = { dtype, kvHeads, headDim, ...attention };
  if (backend === 'host') {
    const places = {
      kLane: key.lane,
      vLane: value.lane,
      kOffset: key.offsetBytes,
      vOffset: value.offsetBytes,
    };
    return cache.attend(slot, { ...request, ...places });
  }
  // Device memory: all K rows, then all V rows, brought to a buffer of this process.
  const length = cache.length(slot);
  const block = length * key.widthBytes;
  const rows = new Uint8Array(block * 2);
  readRows(cache, slot, key, 0, length, rows.subarray(0, block));
  readRows(cache, slot, value, 0, length, rows.subarray(block));
  return loadNative().attendBuffer(rows, {
    ...request,
    kOffset: 0,
    vOffset: block,
    length,
    rowBytes: key.widthBytes,
  });
}
