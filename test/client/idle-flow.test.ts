/** Idle memory flows between processes that are within their shares; live memory does not. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import type { OnReclaim, Session } from '../../client/typescript/index.js';
import { Admin } from '../support/admin.js';
import { childScript } from '../support/children.js';
import { PAGE, startDaemon, type TestDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { connectTo, SMALL, TOKENS_PER_PAGE } from './support.js';

let daemon: TestDaemon;
let admin: Admin;
let session: Session;
let child: ChildProcess;
/** What the child was asked to give back. */
let asked: Record<string, unknown>[];

/** 32 pages, of which the child has 16, so many of its slots of 4 pages idle; this process the rest. */
async function start(idle: number, batch: object = {}): Promise<void> {
  daemon = await startDaemon({
    poolBytes: '64MiB',
    logLevel: 'fatal',
    tenants: [
      { name: 'chat', clients: ['chat'] },
      { name: 'batch', clients: ['batch'], ...batch },
    ],
  });
  admin = new Admin(daemon.directory);
  const { directory } = daemon;
  const order = { directory, name: 'batch', slots: 4, tokens: 4 * TOKENS_PER_PAGE, idle };
  child = fork(childScript('test/client/children/holder'), [JSON.stringify(order)]);
  await once(child, 'message');
  asked = [];
  child.on('message', (message: Record<string, unknown>) => {
    if (message['kind'] === 'reclaim') asked.push(message);
  });
  session = await connectTo(directory, { name: 'chat' });
  await session.acquire([16]);
}

afterEach(async () => {
  child.kill('SIGKILL');
  await session.close();
  admin.close();
  await daemon.stop();
});

async function checked(): Promise<Record<string, unknown>> {
  child.send('check');
  for (;;) {
    const [message] = (await once(child, 'message')) as [Record<string, unknown>];
    if (message['kind'] === 'checked') return message;
  }
}

describe('a process that wants more than its fair share', () => {
  it('gets what lies idle with another, and no more is asked of it', async () => {
    await start(2);
    await session.acquire([8], { waitMs: 10_000 });
    expect((await admin.tenant('batch')).heldBytes).toBe(8n * PAGE);
    expect(asked).toMatchObject([{ idleOnly: true, shortfall: 0, returned: Number(8n * PAGE) }]);
    expect(await checked()).toMatchObject({ intact: true, held: Number(8n * PAGE) });
  });

  it('gets nothing that is live, and nobody is blamed for that', async () => {
    await start(0);
    await expect(session.acquire([4], { waitMs: 600 })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      message: expect.not.stringContaining('not given back in time'),
    });
    expect(asked.length).toBeGreaterThan(0);
    for (const one of asked)
      expect(one).toMatchObject({ idleOnly: true, shortfall: 0, returned: 0 });
    expect(await checked()).toMatchObject({ intact: true, held: Number(16n * PAGE) });
    expect(await admin.tenant('batch')).toMatchObject({ heldBytes: 16n * PAGE, overdue: 0 });
    expect((await admin.sessions()).some(({ servedLast }) => servedLast)).toBe(false);
  });

  it('gets nothing of a guarantee that is held, idle or not', async () => {
    await start(4, { guaranteed: '50%', guarantee: 'held' });
    await expect(session.acquire([1], { waitMs: 0 })).rejects.toMatchObject({ freeBytes: 0n });
    const waiting = session.acquire([1], { waitMs: 300 });
    await expect(waiting).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    expect(asked).toEqual([]);
    expect((await admin.tenant('batch')).heldBytes).toBe(16n * PAGE);
  });
});

/** A process of one tenant with all of the pool in live slots, and another that wants some. */
async function preempting(onReclaim: OnReclaim | null): Promise<{
  cache: Awaited<ReturnType<Session['createCache']>>;
  wanting: Promise<unknown>;
}> {
  daemon = await startDaemon({ poolBytes: '64MiB', logLevel: 'fatal' });
  admin = new Admin(daemon.directory);
  session = await connectTo(daemon.directory, onReclaim === null ? {} : { onReclaim });
  const cache = await session.createCache(SMALL);
  for (let slot = 0; slot < 8; slot++) await cache.allocate(4 * TOKENS_PER_PAGE);
  const order = { directory: daemon.directory, slots: 1, tokens: 4 * TOKENS_PER_PAGE, idle: 0 };
  child = fork(childScript('test/client/children/holder'), [
    JSON.stringify({ ...order, waitMs: 10_000 }),
  ]);
  return { cache, wanting: once(child, 'message') };
}

describe('onReclaim', () => {
  it('is told what is missing when all that is idle is given, and what it frees is given too', async () => {
    const calls: [bigint, boolean][] = [];
    let freed = -1;
    const { cache, wanting } = await preempting((bytes, deadlineMs) => {
      calls.push([bytes, deadlineMs > 0 && deadlineMs <= 250]);
      cache.free((freed += 1));
      return 4n * PAGE;
    });
    await wanting;
    expect(calls).toEqual([[4n * PAGE, true]]);
    expect((await admin.pool()).usedBytes).toBe(32n * PAGE);
    expect(session.stats().heldBytes).toBe(28n * PAGE);
  });

  it('that throws, or does not come back, keeps nobody from giving what is idle', async () => {
    const warned: string[] = [];
    const note = (warning: Error): void => void warned.push(warning.message);
    process.on('warning', note);
    let calls = 0;
    const { cache, wanting } = await preempting(() => {
      calls += 1;
      if (calls === 1) throw new Error('preempting went wrong');
      return new Promise<undefined>(() => undefined);
    });
    await until('it was called', () => calls === 2);
    cache.free(0);
    await wanting;
    expect(calls).toBe(2);
    process.off('warning', note);
    expect(warned).toContain('onReclaim failed: Error: preempting went wrong');
  });
});
