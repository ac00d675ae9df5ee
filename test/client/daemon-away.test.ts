import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SessionEvents } from '../../client/typescript/index.js';
import { Admin } from '../support/admin.js';
import { PAGE, type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { startProxy } from '../support/proxy.js';
import { until } from '../support/until.js';
import { connectTo, decode, rows, sameBytes, SMALL, TOKENS_PER_PAGE } from './support.js';

let daemon: SpawnedDaemon;

beforeEach(async () => {
  daemon = await spawnDaemon({ poolBytes: '64MiB' });
});
afterEach(() => daemon.stop());

const next = <Name extends keyof SessionEvents>(
  session: Awaited<ReturnType<typeof connectTo>>,
  name: Name,
): Promise<SessionEvents[Name]> =>
  new Promise(resolve => session.on(name, event => resolve(event)));

describe('a daemon that goes away', () => {
  it('is DAEMON_UNAVAILABLE from the start if it is not there', async () => {
    const start = performance.now();
    await expect(connectTo('/tmp/kvspan-nobody-here')).rejects.toMatchObject({
      code: 'DAEMON_UNAVAILABLE',
      message: expect.stringContaining('start one with `kvspan serve`'),
    });
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  it('leaves spans usable; what needs it fails with a typed error', async () => {
    const session = await connectTo(daemon.directory, { reconnect: false });
    const cache = await session.createCache(SMALL);
    const slot = await cache.allocate(TOKENS_PER_PAGE);
    cache.writeTokens(slot, 0, rows(0, TOKENS_PER_PAGE, 1));
    const spare = await cache.allocate(100);
    const gone = next(session, 'disconnected');
    await daemon.kill();
    expect((await gone).error.code).toBe('DAEMON_UNAVAILABLE');
    expect(session.state).toBe('disconnected');
    expect(sameBytes(cache.readTokens(slot, 0, TOKENS_PER_PAGE), rows(0, TOKENS_PER_PAGE, 1))).toBe(
      true,
    );
    expect((await cache.step(new Map([[spare, 200]]))).outcome).toBe('nothing');
    expect(await cache.step(new Map([[slot, TOKENS_PER_PAGE + 1]]))).toMatchObject({
      outcome: 'short',
      shortSlots: [slot],
    });
    await expect(session.acquire([1])).rejects.toMatchObject({ code: 'DAEMON_UNAVAILABLE' });
    await expect(cache.allocate(4000)).rejects.toMatchObject({ code: 'DAEMON_UNAVAILABLE' });
    await expect(session.createCache(SMALL)).rejects.toMatchObject({ code: 'DAEMON_UNAVAILABLE' });
    // An idle span needs nobody.
    cache.free(spare);
    expect(await cache.allocate(50)).toBe(spare);
    await session.close();
  });

  it('settles what waits for it', async () => {
    const session = await connectTo(daemon.directory, { reconnect: false });
    const other = await connectTo(daemon.directory, { reconnect: false });
    const held = await other.createCache({ ...SMALL, maxTokens: 8192 });
    await held.allocate(32 * TOKENS_PER_PAGE);
    const cache = await session.createCache(SMALL);
    const waiting = [
      cache.allocate(10, { waitMs: 20_000 }),
      session.acquire([1], { waitMs: 20_000 }),
    ];
    const outcomes = Promise.allSettled(waiting);
    const admin = new Admin(daemon.directory);
    await until('both wait', async () => (await admin.pool()).waitingGrants === 2);
    admin.close();
    await daemon.kill();
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'DAEMON_UNAVAILABLE' } });
    }
    await Promise.all([session.close(), other.close()]);
  });

  it('takes the session on again when it is back: same addresses, same contents, same books', async () => {
    const session = await connectTo(daemon.directory);
    const cache = await session.createCache(SMALL);
    const wide = await session.createCache({
      ...SMALL,
      layout: 'layer-major',
      layers: 2,
      name: 'wide',
    });
    const slot = await cache.allocate(300);
    cache.writeTokens(slot, 0, rows(0, 300, 9));
    await decode(cache, slot, 1500, 9);
    await wide.allocate(20);
    await session.acquire([2]);
    const before = {
      held: session.stats().heldBytes,
      base: cache.plan.baseAddress,
      id: session.id,
      extents: session.extents(),
    };
    const [lost, back] = [next(session, 'disconnected'), next(session, 'reconnected')];
    await daemon.kill();
    await lost;
    await daemon.restart();
    expect(await back).toMatchObject({ adoptedBytes: before.held });
    expect(session.state).toBe('connected');
    const admin = new Admin(daemon.directory);
    expect(await admin.pool()).toMatchObject({
      usedBytes: before.held,
      extents: BigInt(before.extents.length),
      caches: 2,
      sessions: 1,
    });
    expect(cache.plan.baseAddress).toBe(before.base);
    expect(sameBytes(cache.readTokens(slot, 0, 1500), rows(0, 1500, 9))).toBe(true);
    // And it works as before.
    expect(await decode(cache, slot, 2500, 9)).toBe(2500);
    expect(sameBytes(cache.readTokens(slot, 0, 2500), rows(0, 2500, 9))).toBe(true);
    expect((await admin.pool()).usedBytes).toBe(session.stats().heldBytes);
    await session.close();
    await until('all is given back', async () => (await admin.pool()).usedBytes === 0n);
    admin.close();
  });

  it('adopts only what is still held: what was given back meanwhile is free', async () => {
    const session = await connectTo(daemon.directory);
    await session.acquire([4, 1]);
    const [lost, back] = [next(session, 'disconnected'), next(session, 'reconnected')];
    await daemon.kill();
    await lost;
    expect(await session.giveBack(2n * PAGE)).toBeGreaterThanOrEqual(2n * PAGE);
    const held = session.stats().heldBytes;
    await daemon.restart();
    expect((await back).adoptedBytes).toBe(held);
    await session.close();
  });
});

describe('a daemon that comes back smaller', () => {
  it('adopts what is in use once the idle rest is given up', async () => {
    const session = await connectTo(daemon.directory);
    const cache = await session.createCache(SMALL);
    const [slot, idle] = [await cache.allocate(300), await cache.allocate(2000)];
    cache.writeTokens(slot, 0, rows(0, 300, 4));
    cache.free(idle);
    await session.acquire([3]);
    const [lost, back] = [next(session, 'disconnected'), next(session, 'reconnected')];
    await daemon.kill();
    await lost;
    await daemon.restart({ poolBytes: '8MiB' });
    expect((await back).adoptedBytes).toBe(2n * PAGE);
    expect(sameBytes(cache.readTokens(slot, 0, 300), rows(0, 300, 4))).toBe(true);
    await session.close();
  });

  it('refuses what is in use and does not fit: the session stays away, and says why once', async () => {
    const session = await connectTo(daemon.directory);
    const cache = await session.createCache(SMALL);
    const slot = await cache.allocate(2000);
    cache.writeTokens(slot, 0, rows(0, 2000, 4));
    const codes: string[] = [];
    session.on('disconnected', ({ error }) => void codes.push(error.code));
    await daemon.kill();
    await daemon.restart({ poolBytes: '8MiB' });
    await until('the refusal is told', () => codes.length > 1);
    expect(codes).toEqual(['DAEMON_UNAVAILABLE', expect.stringMatching(/_EXHAUSTED$/)]);
    expect(session.state).toBe('disconnected');
    expect(sameBytes(cache.readTokens(slot, 0, 2000), rows(0, 2000, 4))).toBe(true);
    // Once there is room for it the session is taken on after all.
    const back = next(session, 'reconnected');
    cache.free(slot);
    expect((await back).adoptedBytes).toBeLessThanOrEqual(4n * PAGE);
    expect(codes).toHaveLength(2);
    await session.close();
  });
});

describe('a daemon that stops', () => {
  it('says so first', async () => {
    // Time enough to be heard before it closes the streams, on a busy machine too.
    const patient = await spawnDaemon({ shutdownTimeoutMs: 3_000 });
    const session = await connectTo(patient.directory, { reconnect: false });
    const [draining, lost] = [next(session, 'draining'), next(session, 'disconnected')];
    await patient.stop();
    expect((await draining).deadlineMs).toBeGreaterThanOrEqual(0);
    expect((await lost).willReconnect).toBe(false);
    await session.close();
  });
});

describe('a stream that breaks', () => {
  it('is opened again within the same session, and loses no return', async () => {
    const proxy = await startProxy(daemon.directory);
    const session = await connectTo(proxy.directory);
    const cache = await session.createCache(SMALL);
    const slot = await cache.allocate(300);
    await session.acquire([4]);
    const before = { id: session.id, held: session.stats().heldBytes };
    const [lost, back] = [next(session, 'disconnected'), next(session, 'reconnected')];
    proxy.cut();
    await lost;
    // Returned while nobody can be told.
    await session.giveBack(2n * PAGE);
    expect(await back).toMatchObject({ sessionId: before.id, adoptedBytes: 0n });
    expect(session.id).toBe(before.id);
    const admin = new Admin(daemon.directory);
    await until(
      'the books are equal',
      async () => (await admin.pool()).usedBytes === before.held - 2n * PAGE,
    );
    expect((await admin.pool()).caches).toBe(1);
    expect((await cache.step(new Map([[slot, 2000]]))).outcome).toBe('refilled');
    await session.close();
    await until('all is given back', async () => (await admin.pool()).usedBytes === 0n);
    admin.close();
    await proxy[Symbol.asyncDispose]();
  });
});

describe('a slow daemon', () => {
  it('does not hold up a step beyond its deadline, nor anything that needs no daemon', async () => {
    const session = await connectTo(daemon.directory, { connectTimeoutMs: 2_000 });
    const cache = await session.createCache(SMALL);
    const [slot, other] = [await cache.allocate(TOKENS_PER_PAGE), await cache.allocate(10)];
    // Memory is there before the daemon's last word on it.
    await until('nothing is in flight', () => session.stats().requestsInFlight === 0);
    daemon.freeze();
    const start = performance.now();
    const step = cache.step(new Map([[slot, TOKENS_PER_PAGE + 1]]), { waitMs: 150 });
    expect(cache.tryStep(new Map([[other, 11]])).outcome).toBe('nothing');
    expect((await step).outcome).toBe('short');
    // After its 150 ms, not after the session's own wait, which is 5 s here.
    expect(performance.now() - start).toBeLessThan(4_000);
    await expect(cache.allocate(3000, { waitMs: 150 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    await expect(session.createCache(SMALL)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    // Steps that give up do not pile requests up.
    for (let count = 0; count < 20; count++)
      await cache.step(new Map([[slot, TOKENS_PER_PAGE + 1]]), { waitMs: 5 });
    // One refill, one allocation, and its cancellation.
    expect(session.stats().requestsInFlight).toBeLessThanOrEqual(3);
    daemon.thaw();
    expect(
      (await cache.step(new Map([[slot, TOKENS_PER_PAGE + 1]]), { waitMs: 30_000 })).outcome,
    ).not.toBe('short');
    await session.close();
  });
});
