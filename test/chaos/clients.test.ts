/** One client misbehaves, or does not behave at all; the others are served. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOOKS } from '../../daemon/core/device-check.js';
import { connectTo, TOKENS_PER_PAGE } from '../client/support.js';
import { Admin } from '../support/admin.js';
import { childScript } from '../support/children.js';
import { PAGE, type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { afterLooks, LIMIT_MS } from './engines.js';

let daemon: SpawnedDaemon;
let admin: Admin;
const children: ChildProcess[] = [];

/** 32 pages. */
beforeEach(async () => {
  daemon = await spawnDaemon({ poolBytes: '64MiB', deviceCheckMs: 20, logLevel: 'fatal' });
  admin = new Admin(daemon.directory);
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  admin.close();
  await daemon.stop();
});

/** Resolves once it says that it is where the test wants it. */
async function start(script: string, ...args: string[]): Promise<ChildProcess> {
  const child = fork(childScript(script), args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  children.push(child);
  await once(child, 'message');
  return child;
}

/** A process with so many slots of 4 pages, all of them idle. */
function idler(slots: number): Promise<ChildProcess> {
  const { directory } = daemon;
  const order = { directory, slots, tokens: 4 * TOKENS_PER_PAGE, idle: slots };
  return start('test/client/children/holder', JSON.stringify(order));
}

const account = async ({ pid }: ChildProcess) =>
  (await admin.sessions()).find(session => session.pid === pid);

describe('a client that is stopped and holds memory', () => {
  it('does not keep others from what is idle elsewhere; it stays charged, and is named', async () => {
    const [stopped, other] = [await idler(5), await idler(2)];
    stopped.kill('SIGSTOP');
    const session = await connectTo(daemon.directory);
    // 4 pages are free, and the larger holder, who is asked first, answers nothing.
    await session.acquire([10], { waitMs: 20_000 });
    expect(await account(stopped)).toMatchObject({ heldBytes: 20n * PAGE });
    expect((await account(other))?.heldBytes).toBeLessThanOrEqual(2n * PAGE);
    await expect(session.acquire([8], { waitMs: 700 })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      holders: expect.arrayContaining([
        expect.objectContaining({ pid: stopped.pid, heldBytes: 20n * PAGE }),
      ]),
    });
    stopped.kill('SIGCONT');
    await session.acquire([8], { waitMs: 20_000 });
    await session.close();
  });

  it('can be evicted while it is stopped, and killed: then its memory is there at once', async () => {
    const stopped = await idler(6);
    stopped.kill('SIGSTOP');
    const id = (await account(stopped))?.id as bigint;
    await admin.evict(id);
    const session = await connectTo(daemon.directory);
    await expect(session.acquire([9], { waitMs: 0 })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      freeBytes: 8n * PAGE,
    });
    expect(await account(stopped)).toMatchObject({
      state: 'SESSION_STATE_EVICTED',
      heldBytes: 24n * PAGE,
    });
    const waiting = session.acquire([30], { waitMs: 20_000 });
    await admin.evict(id, true);
    await waiting;
    await session.close();
  });
});

describe('a client that closes its socket and keeps its memory', () => {
  it('is charged until its process is gone; others cannot have it, and the kernel agrees', async () => {
    const keeper = await start('test/chaos/children/keeper', daemon.directory, '20');
    const lingers = async () => (await account(keeper))?.state === 'SESSION_STATE_LINGERING';
    await until('the daemon sees it', lingers, LIMIT_MS);
    const session = await connectTo(daemon.directory);
    await session.acquire([12]);
    await expect(session.acquire([1], { waitMs: 600 })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      freeBytes: 0n,
      holders: [{ pid: keeper.pid, heldBytes: 20n * PAGE }, { heldBytes: 12n * PAGE }],
    });
    expect(await afterLooks(admin, LOOKS + 1)).toMatchObject({
      heldBytes: 32n * PAGE,
      missingBytes: 0n,
      unchargedBytes: 0n,
    });
    const waiting = session.acquire([20], { waitMs: 20_000 });
    keeper.kill('SIGKILL');
    await waiting;
    expect(await account(keeper)).toBeUndefined();
    await session.close();
  });
});

describe('a client that asks in a loop', () => {
  /** More than the pool has pages: there is always somebody who waits. */
  const LANES = 48;
  const ROUNDS = 15;

  it('is served no more than a few rounds of its askings before another is served once', async () => {
    await start('test/chaos/children/beggar', daemon.directory, String(LANES));
    const session = await connectTo(daemon.directory);
    const inBetween: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const before = (await admin.pool()).grantsMet;
      await session.acquire([1], { waitMs: 20_000 });
      inBetween.push(Number((await admin.pool()).grantsMet - before));
      await session.giveBack(PAGE);
    }
    // In grants, not in time: a busy machine slows down both alike.
    const median = inBetween.toSorted((a, b) => a - b)[ROUNDS >> 1] as number;
    console.log(`grants between two looks, one of them another's: ${inBetween.join(' ')}`);
    expect(median).toBeLessThan(4 * LANES);
    await session.close();
  });
});
