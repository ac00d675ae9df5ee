import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KvspanError } from '../../proto/errors.js';
import { Admin } from '../support/admin.js';
import { childScript } from '../support/children.js';
import { MIB, PAGE, startDaemon, type TestDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { connectTo, rows, sameBytes, SMALL, TOKENS_PER_PAGE } from './support.js';

let daemon: TestDaemon;
let admin: Admin;
const children: ChildProcess[] = [];

beforeAll(async () => {
  daemon = await startDaemon({ poolBytes: '64MiB' });
  admin = new Admin(daemon.directory);
});
afterAll(async () => {
  admin.close();
  await daemon.stop();
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await until('the pool is empty again', async () => (await admin.pool()).usedBytes === 0n);
});

interface Report {
  readonly kind: string;
  readonly held: number;
  readonly intact?: boolean;
}

async function holder(
  slots: number,
  tokens: number,
  idle: number,
): Promise<{ child: ChildProcess; report: Report }> {
  const order = JSON.stringify({ directory: daemon.directory, slots, tokens, idle });
  const child = fork(childScript('test/client/children/holder'), [order]);
  children.push(child);
  const [report] = (await once(child, 'message')) as [Report];
  return { child, report };
}

async function ask(child: ChildProcess, what: string): Promise<Report> {
  child.send(what);
  for (;;) {
    const [report] = (await once(child, 'message')) as [Report];
    if (report.kind !== 'reclaim') return report;
  }
}

/** The daemon's refusal. On a busy machine it can come when the caller has given up already. */
async function answered(ask: () => Promise<unknown>): Promise<KvspanError> {
  for (;;) {
    const outcome = await ask().catch((error: unknown) => error);
    if (!(outcome instanceof KvspanError)) throw new Error('it was not refused');
    if (outcome.code !== 'DEADLINE_EXCEEDED') return outcome;
  }
}

describe('an exhausted pool', () => {
  it('refuses an allocation with who holds what', async () => {
    const [holding, wanting] = [
      await connectTo(daemon.directory),
      await connectTo(daemon.directory),
    ];
    const held = await holding.createCache({ ...SMALL, maxTokens: 8192 });
    await held.allocate(30 * TOKENS_PER_PAGE);
    const cache = await wanting.createCache(SMALL);
    const failure = await answered(() => cache.allocate(3 * TOKENS_PER_PAGE, { waitMs: 60 }));
    expect(failure).toMatchObject({
      code: 'POOL_EXHAUSTED',
      askedBytes: 3n * PAGE,
      freeBytes: 2n * PAGE,
      retryable: true,
    });
    expect(failure.holders).toContainEqual({
      sessionId: holding.id,
      pid: process.pid,
      heldBytes: 30n * PAGE,
    });
    expect(cache.stats().liveSlots).toBe(0);
    await Promise.all([holding.close(), wanting.close()]);
  });

  it('meets a waiting grant when another client gives back', async () => {
    const [holding, wanting] = [
      await connectTo(daemon.directory),
      await connectTo(daemon.directory),
    ];
    const held = await holding.createCache({ ...SMALL, maxTokens: 8192 });
    const hog = await held.allocate(32 * TOKENS_PER_PAGE);
    const cache = await wanting.createCache(SMALL);
    let settled = false;
    const waiting = cache.allocate(TOKENS_PER_PAGE, { waitMs: 10_000 }).finally(() => {
      settled = true;
    });
    await until('the grant waits', async () => (await admin.pool()).waitingGrants === 1);
    expect(settled).toBe(false);
    held.free(hog);
    await holding.giveBack(PAGE);
    expect(await waiting).toBe(0);
    await Promise.all([holding.close(), wanting.close()]);
  });

  it('lets a short step go on as soon as another client ends', async () => {
    const [holding, wanting] = [
      await connectTo(daemon.directory),
      await connectTo(daemon.directory),
    ];
    await holding.acquire([30]);
    // Mapped, so that a reclaim does not get it.
    const held = await holding.createCache({ ...SMALL, maxTokens: 8192 });
    await held.allocate(30 * TOKENS_PER_PAGE);
    const cache = await wanting.createCache(SMALL);
    const slot = await cache.allocate(2 * TOKENS_PER_PAGE);
    const step = cache.step(new Map([[slot, 4 * TOKENS_PER_PAGE]]), { waitMs: 10_000 });
    await until('the grant waits', async () => (await admin.pool()).waitingGrants === 1);
    await holding.close();
    expect((await step).outcome).toBe('refilled');
    await wanting.close();
  });
});

describe('what waits for the daemon', () => {
  it('takes what its own process frees meanwhile, and withdraws its grant', async () => {
    const session = await connectTo(daemon.directory);
    const cache = await session.createCache({ ...SMALL, maxTokens: 8192 });
    const ended = await cache.allocate(16 * TOKENS_PER_PAGE);
    await cache.allocate(16 * TOKENS_PER_PAGE);
    const allocation = cache.allocate(4 * TOKENS_PER_PAGE, { waitMs: 20_000 });
    await until('it waits', async () => (await admin.pool()).waitingGrants === 1);
    cache.free(ended);
    expect(await allocation).toBe(ended);
    await until('it waits no more', async () => (await admin.pool()).waitingGrants === 0);
    await session.close();
  });

  it('is a step: it goes on with what a freed slot had', async () => {
    const session = await connectTo(daemon.directory);
    const cache = await session.createCache({ ...SMALL, maxTokens: 8192 });
    const ended = await cache.allocate(16 * TOKENS_PER_PAGE);
    const growing = await cache.allocate(16 * TOKENS_PER_PAGE);
    const wanted = new Map([[growing, 17 * TOKENS_PER_PAGE]]);
    const step = cache.step(wanted, { waitMs: 20_000 });
    await until('it waits', async () => (await admin.pool()).waitingGrants === 1);
    cache.free(ended);
    expect(await step).toMatchObject({ outcome: 'refilled', shortSlots: [] });
    await session.close();
  });

  it('steps together: one request for all of them', async () => {
    const session = await connectTo(daemon.directory);
    const cache = await session.createCache(SMALL);
    const slot = await cache.allocate(TOKENS_PER_PAGE);
    const asked = session.stats().grants.asked;
    const wanted = new Map([[slot, TOKENS_PER_PAGE + 1]]);
    const results = await Promise.all([1, 2, 3, 4].map(() => cache.step(wanted)));
    expect(results.map(result => result.outcome)).toEqual(Array(4).fill('refilled'));
    expect(session.stats().grants.asked).toBe(asked + 1);
    await session.close();
  });
});

describe('two serving processes', () => {
  it('share: idle memory of one goes to the other that asks for it', async () => {
    const { child, report } = await holder(7, 4 * TOKENS_PER_PAGE, 4);
    expect(report.held).toBe(28 * Number(PAGE));
    const session = await connectTo(daemon.directory);
    const cache = await session.createCache(SMALL);
    const slot = await cache.allocate(12 * TOKENS_PER_PAGE, { waitMs: 5_000 });
    cache.writeTokens(slot, 0, rows(0, 12 * TOKENS_PER_PAGE, 77));
    const after = await ask(child, 'check');
    expect(after.intact).toBe(true);
    expect(after.held).toBeLessThanOrEqual(20 * Number(PAGE));
    expect(
      sameBytes(cache.readTokens(slot, 0, 12 * TOKENS_PER_PAGE), rows(0, 12 * TOKENS_PER_PAGE, 77)),
    ).toBe(true);
    await session.close();
    child.send('close');
    await once(child, 'exit');
  });

  it('tells its owner what is missing when nothing is idle, and gives back what it frees', async () => {
    const [holding, wanting] = [
      await connectTo(daemon.directory),
      await connectTo(daemon.directory),
    ];
    const held = await holding.createCache({ ...SMALL, maxTokens: 8192 });
    const victim = await held.allocate(16 * TOKENS_PER_PAGE);
    await held.allocate(16 * TOKENS_PER_PAGE);
    const events: bigint[] = [];
    holding.on('reclaim', async ({ shortfallBytes }) => {
      events.push(shortfallBytes);
      if (events.length === 1) held.free(victim);
    });
    const cache = await wanting.createCache(SMALL);
    expect(await cache.allocate(8 * TOKENS_PER_PAGE, { waitMs: 5_000 })).toBe(0);
    expect(events[0]).toBeGreaterThanOrEqual(16n * MIB);
    await Promise.all([holding.close(), wanting.close()]);
  });

  it('end without closing, and leave nothing behind', async () => {
    const child = fork(childScript('test/client/children/quitter'), [daemon.directory]);
    const [code] = (await once(child, 'exit')) as [number];
    expect(code).toBe(7);
    await until('everything is free', async () => {
      const pool = await admin.pool();
      return pool.usedBytes === 0n && pool.sessions === 0 && pool.caches === 0;
    });
  });
});
