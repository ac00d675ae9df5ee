/** State x operation over the native objects: what works, what is refused, and by which code. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadNative, StepOutcome, type NativeSessionEvent } from '../../native/index.js';
import {
  cacheOptions,
  hostDevice,
  Log,
  MIB,
  openWorld,
  PAGE,
  pages,
  plan,
  type World,
} from './support.js';

const native = loadNative();
const rowsOf = (tokens: number, seed: number): Uint8Array =>
  Uint8Array.from({ length: tokens * 64 }, (_, i) => (i * 31 + seed) & 0x3f);
const heads = {
  dtype: 'fp32',
  queryHeads: 8,
  kvHeads: 1,
  headDim: 8,
  kOffset: 0,
  vOffset: 32,
  scale: 0.1,
} as const;

let world: World;
beforeEach(async () => {
  world = await openWorld();
});
afterEach(() => world.close());

const lengthsOf = (...slots: [number, number][]): Int32Array => {
  const lengths = new Int32Array(plan.slotCount);
  for (const [slot, length] of slots) lengths[slot] = length;
  return lengths;
};

async function failure(run: () => unknown): Promise<unknown> {
  try {
    await run();
    return null;
  } catch (error) {
    return error;
  }
}

/** Of these calls, those that did anything but refuse with CLOSED: what they did instead. */
async function notRefused(calls: Record<string, () => unknown>): Promise<Record<string, unknown>> {
  const others: Record<string, unknown> = {};
  for (const [name, call] of Object.entries(calls)) {
    const error = await failure(call);
    if ((error as { code?: string } | null)?.code !== 'CLOSED') others[name] = error;
  }
  return others;
}

describe('closed objects', () => {
  test('a destroyed cache refuses every call, and destroying it again does nothing', async () => {
    const { cache } = world;
    await cache.allocate(10);
    await cache.destroy();
    await cache.destroy();
    const request = { ...heads, kLane: 0, vLane: 0, queries: new Float32Array(64) };
    const calls: Record<string, () => unknown> = {
      step: () => cache.step(lengthsOf()),
      stepDetail: () => cache.stepDetail(),
      allocate: () => cache.allocate(1),
      allocateWarm: () => cache.allocateWarm(1),
      free: () => cache.free(0, null),
      length: () => cache.length(0),
      mappedTokens: () => cache.mappedTokens(0),
      write: () => cache.write(0, 0, 0, 1, 0, 1, new Uint8Array(1)),
      read: () => cache.read(0, 0, 0, 1, 0, 1, new Uint8Array(1)),
      attend: () => cache.attend(0, request),
      stats: () => cache.stats(),
    };
    expect(await notRefused(calls)).toEqual({});
  });

  test('a closed session refuses every call, its caches too, and closing it again does nothing', async () => {
    const { session, cache } = world;
    await Promise.all([session.close(), session.close()]);
    await session.close();
    await cache.destroy();
    const calls: Record<string, () => unknown> = {
      connect: () => session.connect(world.path, 'x', 100),
      disconnect: () => session.disconnect(),
      createCache: () => session.createCache(plan, cacheOptions),
      refillDone: () => session.refillDone(0),
      giveBack: () => session.giveBack(1n),
      returnExtents: () => session.returnExtents(new BigUint64Array(1)),
      pauseReleases: () => session.pauseReleases(),
      resumeReleases: () => session.resumeReleases(),
      held: () => session.held(),
      stats: () => session.stats(),
      step: () => cache.step(lengthsOf()),
      allocate: () => cache.allocate(1),
    };
    expect(await notRefused(calls)).toEqual({});
    expect(session.device.backend).toBe('host');
  });

  test('a closed server refuses every call, its socket is gone, and its grants in flight end', async () => {
    const { server, connection, path } = world;
    const inFlight = server.grant(connection, 2n, ...pages(500, 500), 5000);
    server.close();
    server.close();
    expect((await inFlight).importedCount).toBeLessThanOrEqual(500);
    expect(await failure(() => world.session.connect(path, 'x', 100))).toMatchObject({
      code: expect.stringMatching(/DAEMON_UNAVAILABLE|INVALID_ARGUMENT/),
    });
    const calls: Record<string, () => unknown> = {
      welcome: () => server.welcome(1, 1n, new Uint8Array(32), '/x'),
      refuse: () => server.refuse(1, 'DRAINING', 'x'),
      grant: () => server.grant(1, 3n, ...pages(1), 100),
      disconnect: () => server.disconnect(1),
    };
    expect(await notRefused(calls)).toEqual({});
  });

  test('a closed device refuses, and its server goes on granting', async () => {
    world.device.close();
    world.device.close();
    expect(await failure(() => world.device.describe())).toMatchObject({ code: 'CLOSED' });
    const path = join(world.folder, 'second.sock');
    const options = {
      device: world.device,
      path,
      mode: 0o600,
      connectionsMax: 1,
      helloTimeoutMs: 100,
    };
    expect(await failure(() => native.listen(options, () => {}))).toMatchObject({ code: 'CLOSED' });
    expect(await world.server.grant(world.connection, 2n, ...pages(3, 500), 2000)).toEqual({
      importedCount: 3,
      failure: null,
    });
  });

  test('no event is delivered once close has resolved', async () => {
    const { session, sessionLog } = world;
    await session.close();
    const count = sessionLog.events.length;
    world.server.disconnect(world.connection);
    await new Promise(resolve => setTimeout(resolve, 30));
    expect(sessionLog.events.length).toBe(count);
  });

  test('closing reports every extent as returned before it resolves', async () => {
    await world.cache.allocate(2000);
    await world.session.close();
    const ids = world.sessionLog.events.flatMap(event =>
      event.kind === 'returned' ? [...event.extentIds] : [],
    );
    expect(ids.length).toBe(64);
    expect(new Set(ids).size).toBe(64);
  });
});

describe('objects that are not ours', () => {
  test('classes cannot be constructed from JavaScript', () => {
    for (const one of [world.device, world.server, world.session, world.cache]) {
      const constructor = one.constructor as new (...args: unknown[]) => unknown;
      expect(() => new constructor()).toThrow(TypeError);
      expect(() => new constructor({})).toThrow(TypeError);
    }
  });

  test('methods refuse a foreign receiver', () => {
    const { session, cache } = world;
    expect(() => session.stats.call({} as never)).toThrow('Illegal invocation');
    expect(() => session.stats.call(cache as never)).toThrow('Illegal invocation');
    expect(() => cache.step.call(session as never, lengthsOf())).toThrow('Illegal invocation');
  });

  test('a device that only inherits from one is refused', () => {
    const options = {
      device: Object.create(world.device) as never,
      path: '/x',
      mode: 0o600,
      connectionsMax: 1,
      helloTimeoutMs: 1,
    };
    expect(() => native.listen(options, () => {})).toThrow(
      'options.device: got object, allowed: a NativeDevice',
    );
  });
});

describe('work off the event loop', () => {
  test('allocations resolve in the order of their calls', async () => {
    const order: number[] = [];
    const reports = await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        const report = await world.cache.allocate(1 + i * 100);
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
      const allocation = world.cache.allocate(400).finally(() => (state.resolved = true));
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
    const allocations = Array.from({ length: 8 }, () => failure(() => world.cache.allocate(1000)));
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
    const { slot } = await world.cache.allocate(tokens);
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

describe('a slot and its stream', () => {
  test('a freed span is unmapped only after the stream has completed', async () => {
    const { cache, session } = world;
    const { slot } = await cache.allocate(4000);
    await session.giveBack(64n * PAGE); // the magazine and the look-ahead
    const stream = native.createHostStream();
    native.hostStreamSubmit(stream);
    cache.free(slot, stream);
    await session.giveBack(64n * PAGE);
    expect(cache.stats().mappedBytes).toBeGreaterThanOrEqual(14n * MIB);
    native.hostStreamComplete(stream);
    await session.giveBack(64n * PAGE);
    expect(cache.stats().mappedBytes).toBe(0n);
  });

  test('an unknown stream and a completion without work are refused', () => {
    expect(() => native.hostStreamSubmit(123456n)).toThrow('123456');
    expect(() => native.hostStreamComplete(native.createHostStream())).toThrow(
      'no outstanding work',
    );
  });

  test('what was written is read back, and a step past the memory is Short and names the slot', async () => {
    const { cache } = world;
    const { slot } = await cache.allocate(500);
    const rows = rowsOf(500, 3);
    cache.write(slot, 0, 0, 500, 640, 64, rows);
    const back = new Uint8Array(rows.length);
    cache.read(slot, 0, 0, 500, 640, 64, back);
    expect(back).toEqual(rows);
    expect(() => cache.read(slot, 0, 500, 1, 0, 64, new Uint8Array(64))).toThrow('500');
    expect(cache.step(lengthsOf([slot, 4096]))).toBe(StepOutcome.MappedNow);
    expect(cache.stepDetail().shortSlots.length).toBe(0);
    const others = await Promise.all(Array.from({ length: 7 }, () => cache.allocate(4096)));
    const none = await cache.allocate(4096);
    expect(new Set(others.map(report => report.slot)).size).toBe(7);
    expect(none).toMatchObject({ slot: -1, mappedBytes: 0n });
    expect(none.need.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
  });
});

describe('the channel', () => {
  test('a session survives a lost connection and connects again', async () => {
    const { session, sessionLog, server, serverLog, cache } = world;
    const { slot } = await cache.allocate(100);
    expect(await failure(() => session.connect(world.path, 'twice', 1000))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    server.disconnect(world.connection);
    await sessionLog.until(event => event.kind === 'closed');
    cache.write(slot, 0, 0, 100, 0, 64, rowsOf(100, 1));
    expect(await session.connect(world.path, 'again', 1000)).toMatchObject({
      sessionId: 7n,
      servicePath: '/service',
    });
    const again = await serverLog.until(
      event => event.kind === 'hello' && event.peer.name === 'again',
    );
    const connection = again.kind === 'hello' ? again.peer.connection : 0;
    expect(await server.grant(connection, 8n, ...pages(250, 1000), 2000)).toEqual({
      importedCount: 250,
      failure: null,
    });
    session.disconnect();
    await serverLog.until(event => event.kind === 'closed' && event.connection === connection);
    expect((await session.connect(world.path, 'third', 1000)).sessionId).toBe(7n);
  });

  test('a refusal arrives as its code and sentence', async () => {
    const path = join(world.folder, 'refusing.sock');
    const options = {
      device: world.device,
      path,
      mode: 0o600,
      connectionsMax: 8,
      helloTimeoutMs: 1000,
    };
    const server = native.listen(options, event => {
      if (event.kind === 'hello')
        server.refuse(event.peer.connection, 'DRAINING', 'the daemon is stopping');
    });
    const log = new Log<NativeSessionEvent>();
    const session = native.openSession(
      { device: hostDevice, lowWaterBytes: 0n, highWaterBytes: 0n },
      log.add,
    );
    expect(await failure(() => session.connect(path, 'x', 1000))).toMatchObject({
      code: 'DRAINING',
      message: 'the daemon is stopping',
      retryable: true,
    });
    server.close();
    expect(await failure(() => session.connect(path, 'x', 1000))).toMatchObject({
      code: 'DAEMON_UNAVAILABLE',
    });
    await session.close();
    rmSync(path, { force: true });
  });
});

describe('raw calls and the system', () => {
  test('a raw device gives the time of each call', () => {
    const raw = native.openRawDevice(hostDevice);
    const { handle, us } = raw.create(PAGE);
    const { handle: imported, exportUs, importUs } = raw.exportImport(handle, PAGE);
    const { address } = raw.reserve(4n * PAGE);
    const times = [
      us,
      exportUs,
      importUs,
      raw.map(address, imported, PAGE),
      raw.access(address, PAGE),
      raw.unmap(address, PAGE),
    ];
    times.push(raw.release(handle), raw.release(imported), raw.unreserve(address, 4n * PAGE));
    for (const time of times) expect(time).toBeGreaterThan(0);
    raw.close();
    raw.close();
    expect(() => raw.create(PAGE)).toThrow('the device is closed');
  });

  test('a lock is held by one at a time until it is released', () => {
    const path = join(world.folder, 'lock');
    const lock = native.lockFile(path);
    expect(lock).not.toBeNull();
    expect(native.lockFile(path)).toBeNull();
    lock?.release();
    lock?.release();
    native.lockFile(path)?.release();
    expect(() => native.lockFile(join(world.folder, 'no/such/folder'))).toThrow(
      'cannot open the lock file',
    );
  });

  test('the umask is set and the former one given back', () => {
    const former = native.setUmask(0o077);
    expect(native.setUmask(former)).toBe(0o077);
  });

  test('the descriptor table grows, at most to the limit', () => {
    expect(native.growFdTable(256)).toBeUndefined();
    expect(native.growFdTable(1 << 20)).toBeUndefined();
  });
});
