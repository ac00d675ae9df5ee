/** A client that an administrator has evicted: what it is told, what it keeps, what it gives back. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SessionEvents } from '../../client/typescript/index.js';
import { Admin } from '../support/admin.js';
import { childScript } from '../support/children.js';
import { PAGE, type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { startProxy } from '../support/proxy.js';
import { until } from '../support/until.js';
import { connectTo, rows, sameBytes, SMALL, TOKENS_PER_PAGE } from './support.js';

const LIMIT_MS = 20_000;

let daemon: SpawnedDaemon;
let admin: Admin;

beforeEach(async () => {
  daemon = await spawnDaemon({ poolBytes: '64MiB' });
  admin = new Admin(daemon.directory);
});
afterEach(async () => {
  admin.close();
  await daemon.stop();
});

/** A session with four pages, three of them behind a slot with rows, and what it tells. */
async function working(directory = daemon.directory) {
  const session = await connectTo(directory);
  const told: SessionEvents['disconnected'][] = [];
  session.on('disconnected', event => void told.push(event));
  const cache = await session.createCache(SMALL);
  const slot = await cache.allocate(3 * TOKENS_PER_PAGE);
  cache.writeTokens(slot, 0, rows(0, 3 * TOKENS_PER_PAGE, 5));
  await session.acquire([1]);
  return { session, cache, slot, told };
}

const account = async () => (await admin.sessions())[0];

describe('an evicted client', () => {
  it('is told so, keeps its spans, is refused all else, and does not come back', async () => {
    const { session, cache, slot, told } = await working();
    const waiting = session.acquire([32], { waitMs: 20_000 });
    const refused = waiting.catch((error: unknown) => error);
    await until('it waits', async () => (await admin.pool()).waitingGrants === 1);
    expect(await admin.evict(session.id)).toEqual({ pid: process.pid, killed: false });
    expect(await refused).toMatchObject({ code: 'SESSION_EVICTED' });
    await until('it is told', () => session.state === 'evicted', LIMIT_MS);
    expect(told.at(-1)).toMatchObject({
      error: { code: 'SESSION_EVICTED', message: expect.stringContaining(`${process.pid}`) },
      willReconnect: false,
    });
    // Its memory is its own as long as it lives.
    const written = rows(0, 3 * TOKENS_PER_PAGE, 5);
    expect(sameBytes(cache.readTokens(slot, 0, 3 * TOKENS_PER_PAGE), written)).toBe(true);
    const grown = await cache.step(new Map([[slot, 5 * TOKENS_PER_PAGE]]), { waitMs: 50 });
    expect(grown).toMatchObject({ outcome: 'short', shortSlots: [slot] });
    const evicted = { code: 'SESSION_EVICTED', retryable: false };
    await expect(session.acquire([1])).rejects.toMatchObject(evicted);
    await expect(session.createCache(SMALL)).rejects.toMatchObject(evicted);
    await expect(cache.allocate(4_000)).rejects.toMatchObject(evicted);
    // Nor does another session of this process.
    await expect(connectTo(daemon.directory)).rejects.toMatchObject({ code: 'SESSION_EVICTED' });
    expect(await account()).toMatchObject({
      state: 'SESSION_STATE_EVICTED',
      pid: process.pid,
      heldBytes: session.stats().heldBytes,
    });
    expect((await admin.tenant('default')).evictedBytes).toBe(session.stats().heldBytes);
    await session.close();
  });

  it('gives back what it frees, and everything when it closes', async () => {
    const { session, cache, slot } = await working();
    await admin.evict(session.id);
    await until('it is told', () => session.state === 'evicted', LIMIT_MS);
    const held = session.stats().heldBytes;
    expect(await session.giveBack(PAGE)).toBe(PAGE);
    await until('the books follow', async () => (await account())?.heldBytes === held - PAGE);
    cache.free(slot);
    await session.close();
    // Told while it closed: nothing is waited for here.
    expect(await account()).toMatchObject({ state: 'SESSION_STATE_EVICTED', heldBytes: 0n });
    expect(await admin.pool()).toMatchObject({ usedBytes: 0n, caches: 0, sessions: 1 });
  });

  it('has no reservation any more: the daemon keeps nothing free for it', async () => {
    const { session, cache, slot } = await working();
    const cuts: SessionEvents['promiseCut'][] = [];
    session.on('promiseCut', event => void cuts.push(event));
    const reservation = await cache.reserve(8 * TOKENS_PER_PAGE);
    const waiting = cache.reserve(SMALL.maxTokens, { waitMs: 20_000 }).catch(error => error);
    const more = cache.reserve(SMALL.maxTokens, { waitMs: 20_000 }).catch(error => error);
    await until('one waits', async () => (await admin.pool()).waitingGrants > 0);
    await admin.evict(session.id);
    await until('it is told', () => session.state === 'evicted', LIMIT_MS);
    expect((await admin.pool()).promisedBytes).toBe(0n);
    expect(reservation).toMatchObject({ ended: 'lost', bytes: 0n });
    expect(cuts).toContainEqual({ reservation, slot: null, leftBytes: 0n, reason: 'lost' });
    const answers = await Promise.all([waiting, more]);
    expect(answers.at(-1)).toMatchObject({ code: 'SESSION_EVICTED' });
    await expect(cache.allocate(10, { reservation })).rejects.toMatchObject({
      code: 'PROMISE_UNKNOWN',
    });
    cache.free(slot);
    await session.close();
    expect(await admin.pool()).toMatchObject({ usedBytes: 0n, promisedBytes: 0n });
  });

  it('in the middle of its close gives everything back all the same', async () => {
    const proxy = await startProxy(daemon.directory);
    const { session } = await working(proxy.directory);
    proxy.hold();
    const closed = session.close();
    // Nothing of it has reached the daemon, which ends the stream that it was said on.
    await admin.evict(session.id);
    proxy.resume();
    await closed;
    expect(await account()).toMatchObject({ state: 'SESSION_STATE_EVICTED', heldBytes: 0n });
    expect(await admin.pool()).toMatchObject({ usedBytes: 0n, caches: 0 });
    await proxy[Symbol.asyncDispose]();
  });

  it('that had no stream just then learns it when it wants to come back', async () => {
    const proxy = await startProxy(daemon.directory);
    const { session, told } = await working(proxy.directory);
    // Before the client can open another stream, or hear of it on this one.
    proxy.cut();
    await admin.evict(session.id);
    await until('it is told', () => session.state === 'evicted', LIMIT_MS);
    expect(told.map(({ error, willReconnect }) => [error.code, willReconnect])).toEqual([
      ['DAEMON_UNAVAILABLE', true],
      ['SESSION_EVICTED', false],
    ]);
    await session.close();
    expect(await account()).toMatchObject({ heldBytes: 0n });
    await proxy[Symbol.asyncDispose]();
  });
});

describe('the process of an evicted session', () => {
  it('lives on, charged, until it ends; or is killed, if that is what was asked for', async () => {
    const order = JSON.stringify({ directory: daemon.directory, slots: 2, tokens: 600, idle: 0 });
    const child = fork(childScript('test/client/children/holder'), [order], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const [{ held }] = await once(child, 'message');
    const id = (await account())?.id as bigint;
    expect(await admin.evict(id)).toEqual({ pid: child.pid, killed: false });
    child.send('check');
    expect((await once(child, 'message'))[0]).toMatchObject({ intact: true, held });
    expect((await admin.pool()).usedBytes).toBe(BigInt(held));
    const gone = once(child, 'exit');
    expect(await admin.evict(id, true)).toEqual({ pid: child.pid, killed: true });
    expect(await gone).toEqual([null, 'SIGKILL']);
    await until('all is free', async () => (await admin.pool()).usedBytes === 0n, LIMIT_MS);
    expect(await admin.sessions()).toEqual([]);
  });
});
