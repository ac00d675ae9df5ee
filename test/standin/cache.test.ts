/** Caches on the cuda backend: the whole product but the driver and the GPU. */
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest';
import type { Cache, CacheOptions, Session } from '../../client/typescript/index.js';
import { referenceAttention, relativeError } from '../../kernels/reference/attention.js';
import {
  connectTo,
  decode,
  rows,
  sameBytes,
  SMALL,
  TOKEN_BYTES,
  TOKENS_PER_PAGE,
} from '../client/support.js';
import { Admin } from '../support/admin.js';
import { PAGE, type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { library, onCuda, setStandIn, useStandIn } from './support.js';

useStandIn();

const ATTENTION_ERROR_MAX = 1e-4;

let daemon: SpawnedDaemon;
let admin: Admin;
let session: Session;

beforeAll(async () => {
  daemon = await spawnDaemon(onCuda());
  admin = new Admin(daemon.directory);
});
afterAll(async () => {
  admin.close();
  await daemon.stop();
});
beforeEach(async () => {
  session = await connectTo(daemon.directory);
});
afterEach(async () => {
  await session.close();
  await until('the books are empty', async () => (await admin.pool()).usedBytes === 0n);
});

/** Bytes that differ by everything that they belong to. */
function bytesOf(size: number, ...marks: number[]): Uint8Array {
  const seed = marks.reduce((sum, mark) => Math.imul(sum + mark + 1, 2654435761), 7);
  const words = new Uint32Array(size / 4);
  for (let index = 0; index < words.length; index++) words[index] = Math.imul(index ^ seed, 40503);
  return new Uint8Array(words.buffer);
}

/** Rows of small bf16 or fp32 numbers, so that attention over them means something. */
function numbers(count: number, dtype: 'bf16' | 'fp32', seed: number): Uint8Array {
  const values = Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898 + seed) * 2);
  if (dtype === 'fp32') return new Uint8Array(values.buffer);
  const words = new Uint32Array(values.buffer);
  return new Uint8Array(Uint16Array.from(words, word => word >>> 16).buffer);
}

describe('a session on the cuda backend', () => {
  it('says that it is one, in the daemon and here', () => {
    expect(session.server).toMatchObject({
      backend: 'cuda',
      pageBytes: PAGE,
      poolBytes: 64n * 1024n * 1024n,
      device: { name: 'stand-in', uuid: expect.stringMatching(/^GPU-/) },
    });
  });

  it('finds the library by the option, which wins over the environment', async () => {
    const failure = connectTo(daemon.directory, { cudaLibrary: '/nowhere/libcuda.so.1' });
    await expect(failure).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('/nowhere/libcuda.so.1'),
    });
    delete process.env['KVSPAN_CUDA_LIBRARY'];
    try {
      await (await connectTo(daemon.directory, { cudaLibrary: library })).close();
    } finally {
      process.env['KVSPAN_CUDA_LIBRARY'] = library;
    }
  });

  it('refuses a device that is not the one that the daemon serves', async () => {
    setStandIn('SERIAL', '77');
    await expect(connectTo(daemon.directory)).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringMatching(/GPU-.*0e4d in this process.*GPU-.*0e0f.*ordinal/),
    });
    expect((await admin.pool()).sessions).toBe(1);
  });
});

describe('a cache on the cuda backend', () => {
  it('keeps what was written while a slot grows over many extents', async () => {
    const cache = await session.createCache(SMALL);
    const slot = await cache.allocate(3);
    cache.writeTokens(slot, 0, rows(0, 3, 5));
    const neighbour = await cache.allocate(700);
    cache.writeTokens(neighbour, 0, rows(0, 700, 6));
    const driverCalls = cache.stats().stepsWithDriverCall;
    expect(await decode(cache, slot, 3000, 5)).toBe(3000);
    expect(cache.stats().stepsWithDriverCall).toBeGreaterThan(driverCalls);
    expect(cache.stats().mappedExtents).toBeGreaterThan(6);
    expect(sameBytes(cache.readTokens(slot, 0, 3000), rows(0, 3000, 5))).toBe(true);
    expect(sameBytes(cache.readTokens(neighbour, 0, 700), rows(0, 700, 6))).toBe(true);
    expect((await admin.pool()).usedBytes).toBe(session.stats().heldBytes);
  });

  it('gives fresh memory that is zero, whatever was written before', async () => {
    const first = await session.createCache(SMALL);
    const dirty = await first.allocate(2000);
    first.writeTokens(dirty, 0, rows(0, 2000, 3));
    await first.close();
    await session.giveBack(2n ** 62n);
    const cache = await session.createCache(SMALL);
    const slot = await cache.allocate(2000);
    const read = cache.readTokens(slot, 0, 2000);
    expect(read.every(byte => byte === 0)).toBe(true);
  });

  it('serves a freed slot warm, and frees behind work of the default stream', async () => {
    const cache = await session.createCache(SMALL);
    const slot = await cache.allocate(TOKENS_PER_PAGE);
    cache.free(slot, { stream: 0n });
    expect(await cache.allocate(20)).toBe(slot);
    cache.free(slot, { stream: 0n });
    await until('its work is done', async () => (await session.giveBack(PAGE)) === PAGE);
    expect(cache.stats().mappedBytes).toBe(0n);
  });

  it('waits for a refill, and reports who could not grow when the pool is empty', async () => {
    const cache = await session.createCache({ ...SMALL, maxTokens: 8192 });
    const small = await cache.allocate(TOKENS_PER_PAGE);
    // Asked for by the step itself, or already on its way here by the mapper's wish.
    const grown = await cache.step(new Map([[small, TOKENS_PER_PAGE + 1]]));
    expect(['refilled', 'mapped']).toContain(grown.outcome);
    cache.free(small);
    await session.giveBack(2n * PAGE);
    const slots = [
      await cache.allocate(16 * TOKENS_PER_PAGE),
      await cache.allocate(15 * TOKENS_PER_PAGE),
    ];
    // One page is left: the first of these takes it from the daemon.
    const wanted = new Map(slots.map(slot => [slot, cache.length(slot) + 1]));
    const answer = await cache.step(wanted, { waitMs: 2_000 });
    expect(answer.outcome).toBe('short');
    expect(answer.shortSlots).toHaveLength(1);
    const [unlucky] = answer.shortSlots as [number];
    const other = await connectTo(daemon.directory);
    await expect(other.acquire([1], { waitMs: 50 })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
    });
    await other.close();
    cache.free(slots.find(slot => slot !== unlucky) as number);
    expect(await cache.step(new Map([[unlucky, cache.length(unlucky) + 1]]))).toMatchObject({
      outcome: 'mapped',
      shortSlots: [],
    });
  });
});

const shapes: (CacheOptions & { dtype: 'bf16' | 'fp32' })[] = [
  { ...SMALL, dtype: 'bf16', layout: 'token-major' },
  { ...SMALL, dtype: 'fp32', layout: 'layer-major', layers: 2, kvHeads: 2 },
  { ...SMALL, dtype: 'bf16', layout: 'latent', kvHeads: 1, headDim: 512 },
];

describe.each(shapes)('the $layout layout on the cuda backend', options => {
  const { kvHeads, headDim, dtype, layers, layout } = options;
  const width = kvHeads * headDim * (dtype === 'bf16' ? 2 : 4);
  const hasValues = layout !== 'latent';
  let cache: Cache;

  beforeEach(async () => {
    cache = await session.createCache(options);
  });

  it('keeps K and V of each layer and slot apart, through growth', async () => {
    const slots = [await cache.allocate(5), await cache.allocate(9)];
    const upTo = 1200;
    for (const slot of slots) {
      await cache.step(new Map([[slot, upTo]]));
      for (let layer = 0; layer < layers; layer++) {
        cache.writeKey(layer, slot, 0, bytesOf(upTo * width, slot, layer, 0));
        if (hasValues) cache.writeValue(layer, slot, 0, bytesOf(upTo * width, slot, layer, 1));
      }
    }
    for (const slot of slots) {
      await cache.step(new Map([[slot, 3 * upTo]]));
      for (let layer = 0; layer < layers; layer++) {
        const key = cache.readKey(layer, slot, 0, upTo);
        expect(sameBytes(key, bytesOf(upTo * width, slot, layer, 0))).toBe(true);
        if (!hasValues) continue;
        const value = cache.readValue(layer, slot, 0, upTo);
        expect(sameBytes(value, bytesOf(upTo * width, slot, layer, 1))).toBe(true);
      }
    }
  });

  it('attends over rows that are read back, as the reference does', async () => {
    const length = 333;
    const slot = await cache.allocate(length);
    const layer = layers - 1;
    const keys = numbers(length * kvHeads * headDim, dtype, 1);
    const values = hasValues ? numbers(length * kvHeads * headDim, dtype, 2) : keys;
    cache.writeKey(layer, slot, 0, keys);
    if (hasValues) cache.writeValue(layer, slot, 0, values);
    const queryHeads = 2 * kvHeads;
    const queries = Float32Array.from({ length: queryHeads * headDim }, (_, i) => Math.cos(i));
    const answer = await cache.attend(layer, slot, queries);
    const data = new Uint8Array(2 * length * width);
    data.set(keys);
    data.set(values, length * width);
    const expected = referenceAttention(data, {
      dtype,
      queryHeads,
      kvHeads,
      headDim,
      length,
      tokenStrideBytes: width,
      headStrideBytes: width / kvHeads,
      kOffset: 0,
      vOffset: length * width,
      scale: 1 / Math.sqrt(headDim),
      queries,
    });
    expect(relativeError(answer, expected)).toBeLessThan(ATTENTION_ERROR_MAX);
  });
});

it('moves rows at a rate that a demo can live with', async () => {
  const cache = await session.createCache(SMALL);
  const slot = await cache.allocate(2048);
  const data = rows(0, 2048, 1);
  const start = performance.now();
  for (let token = 0; token < 2048; token++)
    cache.writeTokens(slot, token, data.subarray(token * TOKEN_BYTES, (token + 1) * TOKEN_BYTES));
  // A copy each, with a thread of the stream in between: far below a millisecond where nothing else
  // runs.
  expect((performance.now() - start) / 2048).toBeLessThan(10);
  expect(sameBytes(cache.readTokens(slot, 0, 2048), data)).toBe(true);
});
