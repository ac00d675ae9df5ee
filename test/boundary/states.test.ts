/** State x operation over the native objects: what works, what is refused, and by which code. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadNative, StepOutcome } from '../../native/index.js';
import {
  cacheOptions,
  failure,
  heads,
  lengthsOf,
  MIB,
  openWorld,
  PAGE,
  pages,
  plan,
  rowsOf,
  type World,
} from './support.js';

const native = loadNative();

let world: World;
beforeEach(async () => {
  world = await openWorld();
});
afterEach(() => world.close());

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
    await cache.allocate(10, 0);
    await cache.destroy();
    await cache.destroy();
    const request = { ...heads, kLane: 0, vLane: 0, queries: new Float32Array(64) };
    const calls: Record<string, () => unknown> = {
      step: () => cache.step(lengthsOf()),
      stepDetail: () => cache.stepDetail(),
      allocate: () => cache.allocate(1, 0),
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
      allocate: () => cache.allocate(1, 0),
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
    expect(await world.server.grant(world.connection, 2n, ...pages(3, 500), 20_000)).toEqual({
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
    await world.cache.allocate(2000, 0);
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

describe('a slot and its stream', () => {
  test('a freed span is unmapped only after the stream has completed', async () => {
    const { cache, session } = world;
    const { slot } = await cache.allocate(4000, 0);
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
    const { slot } = await cache.allocate(500, 0);
    const rows = rowsOf(500, 3);
    cache.write(slot, 0, 0, 500, 640, 64, rows);
    const back = new Uint8Array(rows.length);
    cache.read(slot, 0, 0, 500, 640, 64, back);
    expect(back).toEqual(rows);
    expect(() => cache.read(slot, 0, 500, 1, 0, 64, new Uint8Array(64))).toThrow('500');
    expect(cache.step(lengthsOf([slot, 4096]))).toBe(StepOutcome.MappedNow);
    expect(cache.stepDetail().shortSlots.length).toBe(0);
    const others = await Promise.all(Array.from({ length: 7 }, () => cache.allocate(4096, 0)));
    const none = await cache.allocate(4096, 0);
    expect(new Set(others.map(report => report.slot)).size).toBe(7);
    expect(none).toMatchObject({ slot: -1, mappedBytes: 0n });
    expect(none.need.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
  });
});
