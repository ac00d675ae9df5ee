import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Cache, connect, KvspanError, type Session } from '../../client/typescript/index.js';
import { Admin } from '../support/admin.js';
import { PAGE, startDaemon, type TestDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import {
  connectTo,
  decode,
  rows,
  sameBytes,
  SMALL,
  TOKENS_PER_PAGE,
  TOKEN_BYTES,
} from './support.js';

let daemon: TestDaemon;
let admin: Admin;
let session: Session;
let cache: Cache;

beforeAll(async () => {
  daemon = await startDaemon({ poolBytes: '64MiB' });
  admin = new Admin(daemon.directory);
});
afterAll(async () => {
  admin.close();
  await daemon.stop();
});
beforeEach(async () => {
  session = await connectTo(daemon.directory, { name: 'cache-test' });
  cache = await session.createCache(SMALL);
});
afterEach(() => session.close());

const short = (body: () => unknown) => {
  try {
    body();
  } catch (error) {
    if (error instanceof KvspanError) return { code: error.code, field: error.field };
    throw error;
  }
  return null;
};

describe('a cache', () => {
  it('says what the daemon serves and where its rows lie', () => {
    expect(session.server).toMatchObject({
      backend: 'host',
      pageBytes: PAGE,
      poolBytes: 64n * 1024n * 1024n,
    });
    expect(session.state).toBe('connected');
    expect(cache.rowBytes).toBe(TOKEN_BYTES);
    expect(cache.key(1).address).toBe(cache.plan.baseAddress + 2n * 1024n);
    expect(cache.value(3).offsetBytes).toBe(7 * 1024);
  });

  it('takes no memory until a slot is allocated, and gives it all back', async () => {
    expect((await admin.pool()).usedBytes).toBe(0n);
    const slot = await cache.allocate(10);
    expect(cache.length(slot)).toBe(10);
    expect(cache.mappedTokens(slot)).toBe(TOKENS_PER_PAGE);
    expect((await admin.pool()).usedBytes).toBe(PAGE);
    cache.free(slot);
    expect(await session.giveBack(PAGE)).toBe(PAGE);
    expect((await admin.pool()).usedBytes).toBe(0n);
  });

  it('keeps what was written while a slot grows over many extents', async () => {
    const slot = await cache.allocate(3);
    cache.writeTokens(slot, 0, rows(0, 3, 5));
    expect(await decode(cache, slot, 2500, 5)).toBe(2500);
    expect(cache.stats().mappedExtents).toBeGreaterThan(5);
    expect(sameBytes(cache.readTokens(slot, 0, 2500), rows(0, 2500, 5))).toBe(true);
  });

  it('has its overread mapped behind the longest request too', async () => {
    const [maxTokens, overreadTokens] = [4 * TOKENS_PER_PAGE, 100];
    const wide = await session.createCache({ ...SMALL, maxTokens, overreadTokens });
    const slot = await wide.allocate(maxTokens);
    expect(wide.stats().mappedBytes).toBe(5n * PAGE);
    expect(wide.key(0).shape[1]).toBe(maxTokens);
    await expect(wide.allocate(maxTokens + 1)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    wide.free(slot);
    await wide.close();
  });

  it('keeps slots apart', async () => {
    const slots = [await cache.allocate(300), await cache.allocate(300), await cache.allocate(300)];
    for (const slot of slots) cache.writeTokens(slot, 0, rows(0, 300, slot + 1));
    for (const slot of slots)
      expect(sameBytes(cache.readTokens(slot, 0, 300), rows(0, 300, slot + 1))).toBe(true);
  });

  it('reads and writes K and V of a layer where whole rows have them', async () => {
    const slot = await cache.allocate(4);
    const width = 8 * 64 * 2;
    const key = new Uint8Array(4 * width).fill(3);
    const value = new Uint8Array(4 * width).fill(9);
    cache.writeKey(2, slot, 0, key);
    cache.writeValue(2, slot, 0, value);
    expect(sameBytes(cache.readKey(2, slot, 0, 4), key)).toBe(true);
    expect(sameBytes(cache.readValue(2, slot, 1, 2), value.subarray(0, 2 * width))).toBe(true);
    const whole = cache.readTokens(slot, 0, 1);
    expect([whole[4 * width - 1], whole[4 * width], whole[5 * width], whole[6 * width]]).toEqual([
      0, 3, 9, 0,
    ]);
  });

  it('starts warm in a freed slot', async () => {
    const slot = await cache.allocate(600);
    cache.free(slot);
    const asked = session.stats().grants.asked;
    expect(await cache.allocate(600)).toBe(slot);
    expect(session.stats().grants.asked).toBe(asked);
  });

  it('has room for no more requests than slots', async () => {
    for (let count = 0; count < SMALL.slots; count++) await cache.allocate(1);
    await expect(cache.allocate(1)).rejects.toMatchObject({ code: 'SLOTS_EXHAUSTED' });
  });

  it('allocates concurrently, beside steps', async () => {
    const first = await cache.allocate(1);
    const pending = Promise.all(Array.from({ length: 7 }, () => cache.allocate(300)));
    for (let length = 2; length < 200; length++) {
      expect((await cache.step(new Map([[first, length]]))).shortSlots).toEqual([]);
      if (length % 20 === 0) await new Promise(setImmediate);
    }
    const slots = await pending;
    expect(new Set([first, ...slots]).size).toBe(8);
    for (const slot of slots) expect(cache.length(slot)).toBe(300);
  });

  it('computes attention over the span', async () => {
    const latent = await session.createCache({
      ...SMALL,
      layout: 'latent',
      layers: 1,
      kvHeads: 1,
      headDim: 4,
      dtype: 'fp32',
    });
    const slot = await latent.allocate(2);
    // Two tokens; the query agrees with the second far more than with the first.
    latent.writeKey(0, slot, 0, new Uint8Array(Float32Array.of(1, 0, 0, 0, 0, 40, 0, 0).buffer));
    const out = await latent.attend(0, slot, Float32Array.of(0, 2, 0, 0), { scale: 1 });
    expect([...out].map(x => Math.round(x * 1000) / 1000)).toEqual([0, 40, 0, 0]);
    await latent.close();
  });
});

describe('step', () => {
  it('does nothing within the mapped span, and returns one result without allocating', async () => {
    const slot = await cache.allocate(1);
    const results = new Set();
    for (let length = 2; length <= TOKENS_PER_PAGE; length++)
      results.add(cache.tryStep(new Map([[slot, length]])));
    expect(results.size).toBe(1);
    expect(results).toEqual(new Set([{ outcome: 'nothing', driverCalls: 0, shortSlots: [] }]));
    expect(cache.step(new Map([[slot, 256]]))).toBe(cache.step(new Map([[slot, 256]])));
  });

  it('maps what lies in the magazine', async () => {
    const slot = await cache.allocate(TOKENS_PER_PAGE);
    await session.acquire([4]);
    const result = cache.tryStep(new Map([[slot, TOKENS_PER_PAGE + 1]]));
    expect(result.outcome).toBe('mapped');
    expect(result.driverCalls).toBeGreaterThan(0);
  });

  it('asks the daemon when there is nothing else', async () => {
    const slot = await cache.allocate(TOKENS_PER_PAGE);
    expect(await cache.step(new Map([[slot, TOKENS_PER_PAGE + 1]]))).toMatchObject({
      outcome: 'refilled',
      shortSlots: [],
    });
    expect(cache.length(slot)).toBe(TOKENS_PER_PAGE + 1);
  });

  it('takes lengths of all slots as an array', async () => {
    const [a, b] = [await cache.allocate(5), await cache.allocate(6)];
    const lengths = new Int32Array(SMALL.slots);
    lengths[a] = 50;
    lengths[b] = 60;
    expect((await cache.step(lengths)).outcome).toBe('nothing');
    expect([cache.length(a), cache.length(b)]).toEqual([50, 60]);
    // Unnamed slots keep their length.
    await cache.step(new Map([[a, 51]]));
    expect([cache.length(a), cache.length(b)]).toEqual([51, 60]);
  });

  it('reports slots that cannot grow, which keep their length, and goes on from there', async () => {
    const other = await connectTo(daemon.directory);
    const slot = await cache.allocate(TOKENS_PER_PAGE);
    const neighbour = await cache.allocate(10);
    const hoard = await other.acquire([30]);
    expect(hoard.extentCount).toBe(30);
    const wanted = new Map([
      [slot, 2 * TOKENS_PER_PAGE],
      [neighbour, 20],
    ]);
    const start = performance.now();
    expect(await cache.step(wanted, { waitMs: 0 })).toMatchObject({
      outcome: 'short',
      shortSlots: [slot],
    });
    // At once, not after the session's own wait, which is 5 s here.
    expect(performance.now() - start).toBeLessThan(4_000);
    expect([cache.length(slot), cache.length(neighbour)]).toEqual([TOKENS_PER_PAGE, 20]);
    // The neighbour goes on, and the short slot is not asked about again.
    expect((await cache.step(new Map([[neighbour, 21]]))).outcome).toBe('nothing');
    await other.close();
    expect(await cache.step(wanted)).toMatchObject({ outcome: 'refilled', shortSlots: [] });
  });

  it('grows by single pages when memory is tight', async () => {
    const long = await session.createCache({ ...SMALL, maxTokens: 8192 });
    const slot = await long.allocate(16 * TOKENS_PER_PAGE);
    const other = await connectTo(daemon.directory);
    await other.acquire([15]);
    // An eighth of 16 pages would be two; one is left.
    expect((await long.step(new Map([[slot, 16 * TOKENS_PER_PAGE + 1]]))).outcome).toBe('refilled');
    expect((await admin.pool()).freeBytes).toBe(0n);
    await other.close();
  });
});

describe('bad input', () => {
  it.each([0, -1, 1.5, Number.NaN, 4097, 2 ** 31])(
    'refuses length %s and changes nothing',
    async length => {
      const slot = await cache.allocate(7);
      expect(short(() => cache.tryStep(new Map([[slot, length]])))?.code).toBe('INVALID_ARGUMENT');
      await expect(cache.step(new Map([[slot, length]]))).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
      expect(cache.length(slot)).toBe(7);
    },
  );

  it.each([0, -3, 4097])('refuses length %s in an array too', async length => {
    const slot = await cache.allocate(7);
    const lengths = new Int32Array(SMALL.slots);
    lengths[slot] = length;
    expect(short(() => cache.tryStep(lengths))?.code).toBe('INVALID_ARGUMENT');
    expect(cache.length(slot)).toBe(7);
  });

  it('refuses an array of another size, and what is no lengths at all', async () => {
    expect(short(() => cache.tryStep(new Int32Array(7)))?.code).toBe('INVALID_ARGUMENT');
    expect(short(() => cache.tryStep([1] as never))?.code).toBe('INVALID_ARGUMENT');
    expect(short(() => cache.tryStep(null as never))?.code).toBe('INVALID_ARGUMENT');
  });

  it.each([-1, 8, 0.5])('refuses slot %s everywhere', slot => {
    for (const use of [
      () => cache.tryStep(new Map([[slot, 1]])),
      () => cache.free(slot),
      () => cache.length(slot),
      () => cache.mappedTokens(slot),
      () => cache.readTokens(slot, 0, 1),
    ])
      expect(short(use)?.code).toBe('SLOT_UNKNOWN');
  });

  it('refuses a slot never allocated, and one freed already', async () => {
    expect(short(() => cache.free(3))?.code).toBe('SLOT_UNKNOWN');
    expect(short(() => cache.tryStep(new Map([[3, 1]])))?.code).toBe('SLOT_UNKNOWN');
    const slot = await cache.allocate(5);
    cache.free(slot);
    expect(short(() => cache.free(slot))?.code).toBe('SLOT_FREED');
    expect(short(() => cache.length(slot))?.code).toBe('SLOT_FREED');
    expect(short(() => cache.tryStep(new Map([[slot, 6]])))?.code).toBe('SLOT_FREED');
    const lengths = new Int32Array(SMALL.slots);
    lengths[slot] = 5;
    expect(short(() => cache.tryStep(lengths))).not.toBeNull();
  });

  it.each([0, -1, 2.5, 4097])('refuses a prompt of %s tokens', async tokens => {
    await expect(cache.allocate(tokens)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'promptTokens',
    });
    expect(cache.stats().liveSlots).toBe(0);
  });

  it('refuses rows of the wrong size or out of the length', async () => {
    const slot = await cache.allocate(5);
    expect(short(() => cache.writeTokens(slot, 0, new Uint8Array(100)))?.field).toBe(
      'rows.byteLength',
    );
    expect(short(() => cache.writeTokens(slot, 4, new Uint8Array(2 * TOKEN_BYTES)))?.field).toBe(
      'tokens',
    );
    expect(short(() => cache.readTokens(slot, 5, 1))?.field).toBe('firstToken');
    expect(short(() => cache.readTokens(slot, 0, 6))?.field).toBe('tokens');
    expect(short(() => cache.readTokens(slot, 0, 1, new Uint8Array(3)))?.field).toBe(
      'into.byteLength',
    );
    expect(short(() => cache.readTokens(slot, 0, 1, null as never))?.field).toBe('into.byteLength');
    expect(short(() => cache.readKey(4, slot, 0, 1))?.field).toBe('layer');
    expect(short(() => cache.key(-1))?.field).toBe('layer');
  });

  it.each([
    ['options', null],
    ['socketDirectory', { socketDirectory: 5 }],
    ['socketDirectory', { socketDirectory: '' }],
    ['reconnect', { reconnect: 'no' }],
  ])('refuses to connect with bad %s', async (field, options) => {
    await expect(connect(options as never)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      field,
    });
  });

  it('refuses a listener that cannot be called, when it is given and not when it is due', () => {
    expect(short(() => session.on('draining', 5 as never))?.field).toBe('listener');
  });

  it('refuses a bad geometry by field, and one larger than the address plan', async () => {
    await expect(session.createCache({ ...SMALL, slots: 0 })).rejects.toMatchObject({
      field: 'slots',
    });
    await expect(session.createCache({ ...SMALL, wantedBaseAddress: 5n })).rejects.toMatchObject({
      field: 'wantedBaseAddress',
    });
    const huge = { ...SMALL, slots: 65_536, maxTokens: 16 * 1024 * 1024, headDim: 8192 };
    await expect(session.createCache(huge)).rejects.toMatchObject({
      code: expect.stringMatching(/ADDRESS_PLAN|INVALID/),
    });
    expect((await admin.pool()).caches).toBe(1);
  });

  it('refuses everything on a closed cache and a closed session, naming the method', async () => {
    await cache.close();
    await cache.close();
    expect(() => cache.length(0)).toThrow(/Cache\.length: the cache is closed/);
    await expect(cache.allocate(1)).rejects.toMatchObject({ code: 'CLOSED' });
    await session.close();
    await session.close();
    expect(session.state).toBe('closed');
    await expect(session.acquire([1])).rejects.toMatchObject({ code: 'CLOSED' });
    expect(() => session.extents()).toThrow(/Session\.extents/);
    await until('the session is gone', async () => (await admin.pool()).sessions === 0);
    expect((await admin.pool()).usedBytes).toBe(0n);
  });
});

describe('extents', () => {
  it('go back from the magazine, once', async () => {
    await session.acquire([2, 1]);
    const [first] = session.extents();
    expect(await session.returnExtents([first!.id])).toEqual({
      extentCount: 1,
      returnedBytes: first!.bytes,
    });
    await expect(session.returnExtents([first!.id])).rejects.toMatchObject({
      code: 'EXTENT_RETURNED',
    });
    expect((await admin.pool()).extents).toBe(2n);
  });

  it('do not go back while they are mapped', async () => {
    await cache.allocate(5);
    const [mapped] = session.extents();
    await expect(session.returnExtents([mapped!.id])).rejects.toMatchObject({
      code: 'EXTENT_MAPPED',
    });
    expect((await admin.pool()).extents).toBe(1n);
  });

  it("are refused if they are another session's, all or nothing", async () => {
    const other = await connectTo(daemon.directory);
    await other.acquire([1]);
    await session.acquire([1]);
    const [foreign, own] = [other.extents()[0]!.id, session.extents()[0]!.id];
    await expect(session.returnExtents([own, foreign])).rejects.toMatchObject({
      code: 'EXTENT_UNKNOWN',
    });
    expect(session.extents()).toHaveLength(1);
    expect((await admin.pool()).extents).toBe(2n);
    await other.close();
  });
});
