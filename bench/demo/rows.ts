/** The client's cache as the engine wants it: whole tokens in, whole tokens out, in any layout. */
import type { Cache } from '../../client/typescript/index.js';
import type { EngineCache } from './cache.js';
import { type DemoGeometry, tokenBytes, widthBytes } from './geometry.js';

export function engineCache(cache: Cache, geometry: DemoGeometry): EngineCache {
  const common = {
    allocate: cache.allocate.bind(cache),
    tryStep: cache.tryStep.bind(cache),
    step: cache.step.bind(cache),
    free: (slot: number) => cache.free(slot),
    attend: (layer: number, slot: number, queries: Float32Array) =>
      cache.attend(layer, slot, queries),
    stats: cache.stats.bind(cache),
  };
  if (geometry.layout === 'token-major') {
    return {
      ...common,
      writeTokens: cache.writeTokens.bind(cache),
      readTokens: reader(cache, geometry),
    };
  }
  return { ...common, ...layerMajorRows(cache, geometry) };
}

/** Reads into one buffer that grows: what is returned is valid until the next read. */
function reader(cache: Cache, geometry: DemoGeometry): EngineCache['readTokens'] {
  let buffer = new Uint8Array(0);
  return (slot, firstToken, tokens) => {
    const size = tokens * tokenBytes(geometry);
    if (buffer.byteLength < size) buffer = new Uint8Array(size);
    return cache.readTokens(slot, firstToken, tokens, buffer.subarray(0, size));
  };
}

/** K and V of each layer lie apart: the rows of a token are gathered and scattered here. */
function layerMajorRows(
  cache: Cache,
  geometry: DemoGeometry,
): Pick<EngineCache, 'writeTokens' | 'readTokens'> {
  const width = widthBytes(geometry);
  const token = tokenBytes(geometry);
  const parts = Array.from({ length: geometry.layers * 2 }, (_, i) => ({
    layer: i >> 1,
    value: i % 2 === 1,
    at: i * width,
  }));
  return {
    writeTokens(slot, firstToken, rows) {
      const tokens = rows.byteLength / token;
      const dense = new Uint8Array(tokens * width);
      for (const { layer, value, at } of parts) {
        for (let i = 0; i < tokens; i++)
          dense.set(rows.subarray(i * token + at, i * token + at + width), i * width);
        if (value) cache.writeValue(layer, slot, firstToken, dense);
        else cache.writeKey(layer, slot, firstToken, dense);
      }
    },
    readTokens(slot, firstToken, tokens) {
      const rows = new Uint8Array(tokens * token);
      for (const { layer, value, at } of parts) {
        const dense = value
          ? cache.readValue(layer, slot, firstToken, tokens)
          : cache.readKey(layer, slot, firstToken, tokens);
        for (let i = 0; i < tokens; i++)
          rows.set(dense.subarray(i * width, (i + 1) * width), i * token + at);
      }
      return rows;
    },
  };
}
