/** The channel between two ends of one process, and the calls that need neither end. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadNative, type NativeSessionEvent } from '../../native/index.js';
import { failure, hostDevice, Log, openWorld, PAGE, pages, rowsOf, type World } from './support.js';

const native = loadNative();

let world: World;
beforeEach(async () => {
  world = await openWorld();
});
afterEach(() => world.close());

describe('the channel', () => {
  test('a session survives a lost connection and connects again', async () => {
    const { session, sessionLog, server, serverLog, cache } = world;
    const { slot } = await cache.allocate(100, 0);
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
    expect(await server.grant(connection, 8n, ...pages(250, 1000), 20_000)).toEqual({
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
      helloTimeoutMs: 20_000,
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
