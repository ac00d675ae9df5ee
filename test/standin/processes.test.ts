/** Processes on the cuda backend that end when nobody expects it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo, decode, rows, sameBytes, SMALL } from '../client/support.js';
import { Admin } from '../support/admin.js';
import { childScript } from '../support/children.js';
import { type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { onCuda, useStandIn } from './support.js';

useStandIn();

const KILLS = 8;
const QUITS = 3;
const KILLED_AFTER_MS = 150;

let daemon: SpawnedDaemon;
let admin: Admin;

beforeAll(async () => {
  daemon = await spawnDaemon(onCuda({ poolBytes: '96MiB' }));
  admin = new Admin(daemon.directory);
});
afterAll(async () => {
  admin.close();
  await daemon.stop();
});

async function atBaseline(): Promise<boolean> {
  const pool = await admin.pool();
  return pool.usedBytes === 0n && pool.extents === 0n && pool.sessions === 0 && pool.caches === 0;
}

async function killOne(): Promise<void> {
  const child = fork(childScript('test/client/children/churner'), [daemon.directory], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const gone = once(child, 'exit');
  await once(child, 'message');
  await sleep(Math.random() * KILLED_AFTER_MS);
  child.kill('SIGKILL');
  await gone;
}

describe('a client on the cuda backend', () => {
  it(`leaves nothing behind when it is killed, ${KILLS} times`, { timeout: 240_000 }, async () => {
    await killOne();
    await until('the books are empty', atBaseline);
    const fds = daemon.openFds();
    for (let count = 0; count < KILLS; count += 2) await Promise.all([killOne(), killOne()]);
    await until('the books are empty again', atBaseline);
    expect((await admin.pool()).grantsMet).toBeGreaterThan(BigInt(KILLS));
    await until('the daemon has the fds it had', () => daemon.openFds() <= fds);
  });

  it('ends cleanly in the middle of its work, with the driver gone under its threads', async () => {
    for (let count = 0; count < QUITS; count++) {
      const child = fork(childScript('test/client/children/quitter'), [daemon.directory], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      expect(await once(child, 'exit')).toEqual([7, null]);
    }
    await until('the books are empty', atBaseline);
  });
});

describe('a daemon on the cuda backend', () => {
  it('is killed and comes back: same contents, same books, and the session goes on', async () => {
    const session = await connectTo(daemon.directory);
    const cache = await session.createCache(SMALL);
    const slot = await cache.allocate(300);
    cache.writeTokens(slot, 0, rows(0, 300, 9));
    await decode(cache, slot, 1500, 9);
    await session.acquire([2]);
    const held = session.stats().heldBytes;
    const base = cache.plan.baseAddress;
    const lost = new Promise(resolve => session.on('disconnected', resolve));
    const back = new Promise(resolve => session.on('reconnected', resolve));
    await daemon.kill();
    await lost;
    // The memory is this process's too: nothing is lost with who made it.
    expect(sameBytes(cache.readTokens(slot, 0, 1500), rows(0, 1500, 9))).toBe(true);
    await daemon.restart();
    expect(await back).toMatchObject({ adoptedBytes: held });
    expect(await admin.pool()).toMatchObject({ usedBytes: held, caches: 1, sessions: 1 });
    expect(cache.plan.baseAddress).toBe(base);
    expect(await decode(cache, slot, 2500, 9)).toBe(2500);
    expect(sameBytes(cache.readTokens(slot, 0, 2500), rows(0, 2500, 9))).toBe(true);
    await session.close();
    await until('all is given back', atBaseline);
  });
});
