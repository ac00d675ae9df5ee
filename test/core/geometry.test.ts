import { describe, expect, test } from 'vitest';
import { checkGeometry, planSizes } from '../../daemon/core/geometry.js';
import { PAGE_BYTES, type CacheGeometry } from '../../daemon/core/types.js';
import { refused } from './support.js';

/** Llama 3.1 8B: 128 KiB a token. */
const llama: CacheGeometry = {
  layout: 'token-major',
  layers: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: 'bf16',
  slots: 256,
  maxTokens: 131_072,
};
const latent: CacheGeometry = { ...llama, layout: 'latent', kvHeads: 1, headDim: 576, layers: 61 };

describe('the sizes of a cache', () => {
  test('token-major: a row is K and V of all layers, one lane', () => {
    const sizes = planSizes(llama);
    expect(sizes.rowBytes).toBe(2n * 32n * 8n * 128n * 2n);
    expect(sizes.laneCount).toBe(1);
    expect(sizes.slotStrideBytes).toBe(131_072n * sizes.rowBytes);
    expect(sizes.laneStrideBytes).toBe(256n * sizes.slotStrideBytes);
    expect(sizes.totalBytes).toBe(sizes.laneStrideBytes);
  });

  test('layer-major: a lane for K and for V of each layer, a row is one vector', () => {
    const sizes = planSizes({ ...llama, layout: 'layer-major' });
    expect(sizes.rowBytes).toBe(8n * 128n * 2n);
    expect(sizes.laneCount).toBe(64);
    expect(sizes.totalBytes).toBe(64n * sizes.laneStrideBytes);
  });

  test('latent: one vector a layer and no V, one lane', () => {
    const sizes = planSizes(latent);
    expect(sizes.rowBytes).toBe(61n * 576n * 2n);
    expect(sizes.laneCount).toBe(1);
  });

  test.each([
    ['bf16', 2n],
    ['fp16', 2n],
    ['fp32', 4n],
    ['fp8-e4m3', 1n],
    ['fp8-e5m2', 1n],
  ] as const)('an element of %s has %s bytes', (dtype, element) => {
    expect(planSizes({ ...llama, dtype }).rowBytes).toBe(2n * 32n * 8n * 128n * element);
  });

  test.each([
    { ...llama, maxTokens: 1 },
    { ...llama, maxTokens: 100_001 },
    { ...llama, headDim: 127, kvHeads: 7 },
    { ...latent, maxTokens: 163_840 },
    { ...llama, layout: 'layer-major' as const, headDim: 80, maxTokens: 5_000 },
  ])(
    'the slot stride is the least whole number of rows and pages that holds all tokens: %o',
    geometry => {
      const { rowBytes, slotStrideBytes } = planSizes(geometry);
      expect(slotStrideBytes % rowBytes).toBe(0n);
      expect(slotStrideBytes % PAGE_BYTES).toBe(0n);
      expect(slotStrideBytes).toBeGreaterThanOrEqual(BigInt(geometry.maxTokens) * rowBytes);
      // The next smaller number of both kinds holds too few: walked row by row, as no formula of ours.
      let smaller = slotStrideBytes - rowBytes;
      while (smaller % PAGE_BYTES !== 0n) smaller -= rowBytes;
      expect(smaller).toBeLessThan(BigInt(geometry.maxTokens) * rowBytes);
    },
  );

  test('the largest geometry is computed exactly', () => {
    const largest: CacheGeometry = {
      layout: 'layer-major',
      layers: 1024,
      kvHeads: 1024,
      headDim: 8192,
      dtype: 'fp32',
      slots: 65_536,
      maxTokens: 16 * 2 ** 20,
    };
    expect(() => checkGeometry(largest)).not.toThrow();
    expect(planSizes(largest).totalBytes).toBe(2n ** 11n * 2n ** 16n * 2n ** 24n * 2n ** 25n);
  });
});

describe('a bad geometry names its field and what is allowed', () => {
  const notCounts = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '4', 4n, null, undefined];
  const table: [string, string, string, unknown[]][] = [
    ['layers', 'geometry.layers_count', '1..1024', [...notCounts, 1025]],
    ['kvHeads', 'geometry.kv_heads_count', '1..1024', [...notCounts, 1025]],
    ['headDim', 'geometry.head_dim_count', '1..8192', [...notCounts, 8193]],
    ['slots', 'geometry.slots_count', '1..65536', [...notCounts, 65_537]],
    ['maxTokens', 'geometry.max_tokens_count', '1..16777216', [...notCounts, 16_777_217]],
    ['layout', 'geometry.layout', 'token-major, layer-major, latent', ['', 'paged', 1, null]],
    [
      'dtype',
      'geometry.dtype',
      'bf16, fp16, fp32, fp8-e4m3, fp8-e5m2',
      ['', 'int8', 'toString', null],
    ],
  ];
  const rows = table.flatMap(([key, field, allowed, values]) =>
    values.map(value => ({ key, field, allowed, value })),
  );

  test.each(rows)('$key = $value', ({ key, field, allowed, value }) => {
    const error = refused('INVALID_ARGUMENT', () => checkGeometry({ ...llama, [key]: value }));
    expect(error.field).toBe(field);
    expect(error.message).toContain(allowed);
  });

  test('a latent cache has one KV head', () => {
    const error = refused('INVALID_ARGUMENT', () => checkGeometry({ ...latent, kvHeads: 2 }));
    expect(error.message).toBe('geometry.kv_heads_count: got 2, allowed: an integer of 1..1');
  });
});
