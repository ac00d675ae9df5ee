/** Two tenants as two processes of one user, a third being the daemon. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Admin, type Entitlement } from '../support/admin.js';
import { childScript } from '../support/children.js';
import { PAGE, type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { connectTo, rows, sameBytes, SMALL, TOKENS_PER_PAGE } from './support.js';

let daemon: SpawnedDaemon;
let admin: Admin;
const children: ChildProcess[] = [];

/** 32 pages, of which half are guaranteed to `chat`; `batch` may borrow whatever is there. */
async function start(guarantee: 'lent' | 'held'): Promise<void> {
  daemon = await spawnDaemon({
    poolBytes: '64MiB',
    logLevel: 'fatal',
    tenants: [
      { name: 'chat', clients: ['chat'], guaranteed: '50%', guarantee },
      { name: 'batch', clients: ['batch'] },
    ],
  });
  admin = new Admin(daemon.directory);
}

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  admin.close();
  await daemon.stop();
});

/** A process that has filled this many slots of 4 pages, all of them idle by now. */
async function borrower(slots: number): Promise<ChildProcess> {
  const order = { directory: daemon.directory, name: 'batch', tokens: 4 * TOKENS_PER_PAGE };
  const script = childScript('test/client/children/holder');
  const child = fork(script, [JSON.stringify({ ...order, slots, idle: slots })]);
  children.push(child);
  await once(child, 'message');
  expect((await admin.tenant('batch')).heldBytes).toBe(BigInt(4 * slots) * PAGE);
  return child;
}

describe('a lent guarantee', () => {
  it('is met by what the other process gives back', async () => {
    await start('lent');
    await borrower(8);
    const session = await connectTo(daemon.directory, { name: 'chat' });
    const cache = await session.createCache(SMALL);
    const slot = await cache.allocate(12 * TOKENS_PER_PAGE, { waitMs: 10_000 });
    const text = rows(0, 12 * TOKENS_PER_PAGE, 5);
    cache.writeTokens(slot, 0, text);
    expect(sameBytes(cache.readTokens(slot, 0, 12 * TOKENS_PER_PAGE), text)).toBe(true);
    expect((await admin.tenant('chat')).heldBytes).toBeGreaterThanOrEqual(12n * PAGE);
    expect((await admin.tenant('batch')).heldBytes).toBeLessThanOrEqual(20n * PAGE);
    expect((await admin.tenant('batch')).overdue).toBe(0);
    await session.close();
  });

  it('is not met by a process that is stopped: it is named, recorded, charged, and owes', async () => {
    await start('lent');
    const child = await borrower(8);
    child.kill('SIGSTOP');
    const session = await connectTo(daemon.directory, { name: 'chat' });
    const failure = session.acquire([12], { waitMs: 1_000 });
    await expect(failure).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      message: expect.stringMatching(
        new RegExp(`not given back in time by session \\d+ \\(pid ${child.pid}\\) ${12n * PAGE}`),
      ),
    });
    const account = async () =>
      (await admin.sessions()).find(({ pid, tenant }) => pid === child.pid && tenant === 'batch');
    expect(await account()).toMatchObject({ heldBytes: 32n * PAGE, servedLast: true });
    expect((await admin.tenant('batch')).overdue).toBeGreaterThanOrEqual(1);
    child.kill('SIGCONT');
    await session.acquire([12], { waitMs: 10_000 });
    await until('it has brought what it owed', async () => (await account())?.servedLast === false);
    expect((await account())?.overdue).toBeGreaterThanOrEqual(1);
    await session.close();
  });

  it('is free again when the process that borrowed it is killed', async () => {
    await start('lent');
    const child = await borrower(8);
    child.kill('SIGSTOP');
    const session = await connectTo(daemon.directory, { name: 'chat' });
    const waiting = session.acquire([16], { waitMs: 20_000 });
    await until('it waits', async () => (await admin.pool()).waitingGrants === 1);
    child.kill('SIGKILL');
    await waiting;
    expect((await admin.tenant('batch')).heldBytes).toBe(0n);
    expect((await admin.tenant('chat')).heldBytes).toBe(16n * PAGE);
    await session.close();
  });
});

describe('a held guarantee', () => {
  it('is met at once while the other process is stopped and has all it could borrow', async () => {
    await start('held');
    const child = await borrower(4);
    child.kill('SIGSTOP');
    const session = await connectTo(daemon.directory, { name: 'chat' });
    // It may not wait at all.
    await session.acquire([16], { waitMs: 0 });
    expect((await admin.tenant('chat')).heldBytes).toBe(16n * PAGE);
    expect(await admin.pool()).toMatchObject({ freeBytes: 0n, usedBytes: 32n * PAGE });
    await session.close();
  });

  it('is not lent, however much is asked', async () => {
    await start('held');
    await borrower(4);
    const session = await connectTo(daemon.directory, { name: 'batch' });
    // It may not wait: what its own tenant has idle would come back.
    await expect(session.acquire([1], { waitMs: 0 })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      freeBytes: 0n,
    });
    await session.close();
  });
});

describe('where settings are changed', () => {
  it("is the daemon's user's alone, whoever else may connect", async () => {
    daemon = await spawnDaemon({ socketGroup: String(process.getgid?.()) });
    admin = new Admin(daemon.directory);
    const modeOf = (socket: string) => statSync(join(daemon.directory, socket)).mode & 0o777;
    expect([modeOf('kvspan.sock'), modeOf('admin.sock')]).toEqual([0o660, 0o600]);
  });
});

describe('a process of no tenant', () => {
  it('is not let in, and is told why', async () => {
    await start('lent');
    await expect(connectTo(daemon.directory, { name: 'stranger' })).rejects.toMatchObject({
      code: 'TENANT_UNKNOWN',
      message: expect.stringContaining('client "stranger" belongs to none of chat, batch'),
    });
  });
});

const limited = (pages: bigint): Entitlement => ({
  guaranteedBytes: 0n,
  limitBytes: pages * PAGE,
  weight: 1,
  held: false,
});

describe('a limit that is changed while the processes run', () => {
  it('is in force at once, down and up', async () => {
    await start('lent');
    const session = await connectTo(daemon.directory, { name: 'batch' });
    await session.acquire([4]);
    await admin.setTenant('batch', limited(6n));
    await expect(session.acquire([3], { waitMs: 0 })).rejects.toMatchObject({
      code: 'TENANT_LIMIT',
      askedBytes: 3n * PAGE,
      freeBytes: 2n * PAGE,
      limitBytes: 6n * PAGE,
    });
    const waiting = session.acquire([3], { waitMs: 20_000 });
    await until('it waits', async () => (await admin.pool()).waitingGrants === 1);
    await admin.setTenant('batch', limited(7n));
    await waiting;
    expect((await admin.tenant('batch')).heldBytes).toBe(7n * PAGE);
    await session.close();
  });
});
