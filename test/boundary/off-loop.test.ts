/** Work off the event loop: its order, and that what it reads stays until it is done. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadNative } from '../../native/index.js';
import { failure, heads, lengthsOf, openWorld, PAGE, type World } from './support.js';

const native = loadNative();

let world: World;
beforeEach(async () => {
  world = await openWorld();
});
afterEach(() => world.close());

describe('work off the event loop', () => {
  test('allocations resolve in the order of their calls', async () => {
    const order: number[] = [];
    const reports = await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        const report = await world.cache.allocate(1 + i * 100, 0);
        order.push(i);
        return report;
      }),
    );
    expect(order).toEqual([...order.keys()]);
    expect(new Set(reports.map(report => report.slot)).size).toBe(12);
  });

  test('a step beside an allocation wants 0 for the slot until its promise has resolved', async () => {
    const lengths = lengthsOf();
    for (let i = 0; i < 12; i++) {
      const state = { resolved: false };
      const allocation = world.cache.allocate(400, 0).finally(() => (state.resolved = true));
      while (!state.resolved) {
        for (let n = 0; n < 50; n++) world.cache.step(lengths);
        await new Promise(resolve => setImmediate(resolve));
      }
      const { slot } = await allocation;
      expect(() => world.cache.step(lengths)).toThrow(`lengths[${slot}]`);
      lengths[slot] = 400;
      world.cache.step(lengths);
    }
  });

  test('returned events come before the giveBack that caused them resolves', async () => {
    const bytes = await world.session.giveBack(10n * PAGE);
    const ids = world.sessionLog.events.flatMap(event =>
      event.kind === 'returned' ? [...event.extentIds] : [],
    );
    expect(bytes).toBe(10n * PAGE);
    expect(ids.length).toBe(10);
  });

  test('an allocation overtaken by destroy is refused or served, never lost', async () => {
    const allocations = Array.from({ length: 8 }, () =>
      failure(() => world.cache.allocate(1000, 0)),
    );
    await world.cache.destroy();
    const codes = (await Promise.all(allocations)).map(
      error => (error as { code: string } | null)?.code ?? 'served',
    );
    expect(['CLOSED', 'served']).toEqual(expect.arrayContaining([...new Set(codes)]));
    expect(world.session.held().length / 2).toBe(64);
  });
});

describe('attention over mapped memory', () => {
  const tokens = 3000;
  const queries = Float32Array.from({ length: 64 * 24 }, (_, i) => Math.sin(i));
  const request = { ...heads, kLane: 0, vLane: 0, queries };
  const rows = new Uint8Array(
    Float32Array.from({ length: tokens * 16 }, (_, i) => Math.cos(i)).buffer,
  );

  async function fill(): Promise<{ slot: number; expected: Float32Array }> {
    const { slot } = await world.cache.allocate(tokens, 0);
    world.cache.write(slot, 0, 0, tokens, 0, 64, rows);
    const expected = await native.attendBuffer(rows, {
      ...heads,
      length: tokens,
      rowBytes: 64,
      queries,
    });
    return { slot, expected };
  }

  test('gives what the same rows in a buffer give', async () => {
    const { slot, expected } = await fill();
    expect(await world.cache.attend(slot, request)).toEqual(expected);
    expect(expected.every(Number.isFinite)).toBe(true);
  });

  test('a slot freed while it is read stays mapped until the reader is done', async () => {
    const { slot, expected } = await fill();
    const readers = Array.from({ length: 4 }, () => world.cache.attend(slot, request));
    world.cache.free(slot, null);
    const given = world.session.giveBack(1024n * PAGE);
    for (const result of await Promise.all(readers)) expect(result).toEqual(expected);
    await given;
    expect(await failure(() => world.cache.attend(slot, request))).toMatchObject({
      code: 'SLOT_FREED',
    });
    await world.session.giveBack(1024n * PAGE);
    expect(world.cache.stats().mappedBytes).toBe(0n);
  });

  test('a slot freed with a stream waits for the readers itself', async () => {
    const { slot, expected } = await fill();
    const stream = native.createHostStream();
    const reader = world.cache.attend(slot, request);
    world.cache.free(slot, stream);
    await world.session.giveBack(1024n * PAGE);
    expect(await reader).toEqual(expected);
  });

  test('destroying the cache and closing the session wait for the readers', async () => {
    const { slot, expected } = await fill();
    const readers = Array.from({ length: 4 }, () => world.cache.attend(slot, request));
    const destroyed = world.cache.destroy();
    await world.session.close();
    await destroyed;
    for (const result of await Promise.all(readers)) expect(result).toEqual(expected);
  });
});
