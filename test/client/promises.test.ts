/** Memory that is promised to a request: two processes that want the same, and a daemon that decides. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Cache, Session } from '../../client/typescript/index.js';
import { Admin } from '../support/admin.js';
import { childScript } from '../support/children.js';
import { PAGE, spawnDaemon, startDaemon, type TestDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { connectTo, decode, rows, sameBytes, SMALL, TOKENS_PER_PAGE } from './support.js';

let daemon: TestDaemon;
let admin: Admin;
let session: Session;
let cache: Cache;
const children: ChildProcess[] = [];

const settings = { poolBytes: '64MiB', logLevel: 'fatal' } as const;

/** 32 pages; a slot takes 16 of them at most. */
async function start(overrides = {}, name = 'engine'): Promise<void> {
  await startIn(await startDaemon({ ...settings, ...overrides }), name);
}

async function startIn(served: TestDaemon, name: string): Promise<void> {
  daemon = served;
  admin = new Admin(daemon.directory);
  session = await connectTo(daemon.directory, { name });
  cache = await session.createCache(SMALL);
}

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await session.close();
  admin.close();
  await daemon.stop();
});

type Message = Record<string, unknown>;

/** A process that says something once it is ready, and what it says. */
async function child(script: string, order: object): Promise<[ChildProcess, Message]> {
  const { directory } = daemon;
  const forked = fork(childScript(script), [JSON.stringify({ directory, ...order })]);
  children.push(forked);
  return [forked, await nextOf(forked, 'ready')];
}

async function nextOf(forked: ChildProcess, kind: string): Promise<Message> {
  for (;;) {
    const [message] = (await once(forked, 'message')) as [Message];
    if (message['kind'] === kind) return message;
  }
}

const reserver = (order: object) => child('test/client/children/reserver', order);
/** Live requests of 4 pages each. */
const holder = (slots: number, idle = 0, name = 'holder') =>
  child('test/client/children/holder', { slots, idle, name, tokens: 4 * TOKENS_PER_PAGE });

/** Another session, of this process, whose one request has so many pages. */
async function rivalWith(pages: number): Promise<Session> {
  const rival = await connectTo(daemon.directory, { name: 'rival' });
  const others = await rival.createCache(SMALL);
  await others.allocate(pages * TOKENS_PER_PAGE);
  return rival;
}

const WHOLE = 4096;

describe('a request with a reservation', () => {
  beforeEach(() => start());

  it('grows to its length although another process takes all it can get', async () => {
    const reservation = await cache.reserve(WHOLE);
    expect(reservation.bytes).toBe(16n * PAGE);
    const slot = await cache.allocate(TOKENS_PER_PAGE, { reservation });
    cache.writeTokens(slot, 0, rows(0, TOKENS_PER_PAGE, 7));
    expect(reservation).toMatchObject({ slot, bytes: 15n * PAGE, ended: null });
    const [other] = await holder(4);
    expect(await admin.pool()).toMatchObject({
      usedBytes: 17n * PAGE,
      freeBytes: 15n * PAGE,
      promisedBytes: 15n * PAGE,
    });
    const rival = await connectTo(daemon.directory, { name: 'rival' });
    // All that is free is promised: nobody else has it, however he asks.
    await expect(rival.acquire([1], { waitMs: 0 })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      freeBytes: 0n,
      message: expect.stringContaining(`of which ${15n * PAGE} is promised`),
    });
    expect(await decode(cache, slot, WHOLE, 7)).toBe(WHOLE);
    expect(sameBytes(cache.readTokens(slot, 0, WHOLE), rows(0, WHOLE, 7))).toBe(true);
    expect(await admin.pool()).toMatchObject({ usedBytes: 32n * PAGE, promisedBytes: 0n });
    expect(cache.stats().steps.short.count + session.stats().grants.refused).toBeGreaterThan(0);
    expect(session.stats().grants.refused).toBe(0);
    other.send('check');
    expect(await nextOf(other, 'checked')).toMatchObject({ intact: true });
    await rival.close();
  });

  it('is not admitted if its length is not to be had, and is when another has ended', async () => {
    const [first, second] = [await cache.reserve(WHOLE), await cache.reserve(WHOLE)];
    const rival = await connectTo(daemon.directory, { name: 'rival' });
    const others = await rival.createCache(SMALL);
    const refusal = others.reserve(1, { waitMs: 0 });
    await expect(refusal).rejects.toMatchObject({ code: 'POOL_EXHAUSTED', askedBytes: PAGE });
    expect(await admin.pool()).toMatchObject({ usedBytes: 0n, promisedBytes: 32n * PAGE });
    const waiting = others.reserve(WHOLE, { waitMs: 20_000 });
    await until('it waits', async () => (await admin.pool()).waitingGrants === 1);
    const slot = await cache.allocate(10, { reservation: first });
    cache.free(slot);
    expect(first.ended).toBe('released');
    // One page is still mapped, idle: it is asked back, and the promise is made.
    const third = await waiting;
    expect(third.bytes).toBe(16n * PAGE);
    second.release();
    third.release();
    await until('all is free', async () => (await admin.pool()).promisedBytes === 0n);
    await rival.close();
  });

  it('shrinks as its slot grows, by whatever memory that is', async () => {
    await session.acquire([8]);
    const reservation = await cache.reserve(WHOLE, { lapseMs: 600 });
    const slot = await cache.allocate(4 * TOKENS_PER_PAGE, { reservation });
    // Out of the magazine: nothing was drawn, and 4 pages of the promise are not needed any more.
    expect(reservation.bytes).toBe(12n * PAGE);
    await until('it is told', async () => (await admin.pool()).promisedBytes === 12n * PAGE);
    expect((await admin.pool()).usedBytes).toBe(8n * PAGE);
    await decode(cache, slot, 8 * TOKENS_PER_PAGE, 1);
    await until('it is renewed', async () => (await admin.pool()).promisedBytes === 8n * PAGE);
    await decode(cache, slot, WHOLE, 1);
    expect(await admin.pool()).toMatchObject({ usedBytes: 16n * PAGE, promisedBytes: 0n });
  });

  it('of a live slot covers what it lacks', async () => {
    const slot = await cache.allocate(TOKENS_PER_PAGE);
    const reservation = await cache.reserve(WHOLE, { slot });
    expect(reservation).toMatchObject({ slot, bytes: 15n * PAGE });
    await expect(cache.reserve(WHOLE, { slot })).rejects.toMatchObject({ field: 'slot' });
    const rival = await rivalWith(16);
    expect(await decode(cache, slot, WHOLE, 3)).toBe(WHOLE);
    await rival.close();
  });

  it('is not drained by other requests of its own session', async () => {
    const reservation = await cache.reserve(WHOLE);
    const slot = await cache.allocate(TOKENS_PER_PAGE, { reservation });
    const others = [await cache.allocate(TOKENS_PER_PAGE), await cache.allocate(TOKENS_PER_PAGE)];
    let lengths = new Map([slot, ...others].map(each => [each, TOKENS_PER_PAGE]));
    let short = new Set<number>();
    while ((lengths.get(slot) as number) < WHOLE) {
      lengths = new Map([...lengths].map(([each, length]) => [each, Math.min(WHOLE, length + 64)]));
      const result = await cache.step(lengths, { waitMs: 50 });
      short = new Set([...short, ...result.shortSlots]);
      for (const each of result.shortSlots) lengths.set(each, cache.length(each));
    }
    expect(short.has(slot)).toBe(false);
    expect(cache.length(slot)).toBe(WHOLE);
    // The pool has 32 pages: the three of them together cannot all have 16.
    expect(short.size).toBeGreaterThan(0);
  });
});

describe('what is drawn', () => {
  it('fills every lane of a slot', async () => {
    await start();
    const lanes = await session.createCache({ ...SMALL, layout: 'layer-major' });
    const reservation = await lanes.reserve(WHOLE);
    expect(reservation.bytes).toBe(16n * PAGE);
    const rival = await rivalWith(16);
    const slot = await lanes.allocate(1, { reservation });
    expect(reservation.bytes).toBe(8n * PAGE);
    const { shortSlots } = await lanes.step(new Map([[slot, WHOLE]]), { waitMs: 10_000 });
    expect(shortSlots).toEqual([]);
    expect(lanes.mappedTokens(slot)).toBe(WHOLE);
    expect(await admin.pool()).toMatchObject({ freeBytes: 0n, promisedBytes: 0n });
    await rival.close();
  });

  it('comes ahead of need, so that steps need not wait for it', async () => {
    await start();
    const eager = await connectTo(daemon.directory, { lowWaterBytes: PAGE, highWaterBytes: 0n });
    const ahead = await eager.createCache({ ...SMALL, lookaheadTokens: 2 * TOKENS_PER_PAGE });
    const reservation = await ahead.reserve(WHOLE);
    const slot = await ahead.allocate(TOKENS_PER_PAGE, { reservation });
    // All else is taken: only the promise is left to be drawn on.
    const rest = (await admin.pool()).freeBytes - (await admin.pool()).promisedBytes;
    const rival = await rivalWith(Number(rest / PAGE));
    let length = TOKENS_PER_PAGE;
    while (length < WHOLE - 2 * TOKENS_PER_PAGE) {
      length += TOKENS_PER_PAGE;
      await ahead.step(new Map([[slot, length]]), { waitMs: 10_000 });
      const far = length + 2 * TOKENS_PER_PAGE;
      await until('it is mapped', () => ahead.mappedTokens(slot) >= far);
    }
    expect(eager.stats().grants.grantedBytes).toBeGreaterThanOrEqual(10n * PAGE);
    await eager.close();
    await rival.close();
  });
});

describe('a promise', () => {
  it('ends with its process', async () => {
    await start();
    const [other, { promised }] = await reserver({ tokens: WHOLE, prompt: 10 });
    expect(promised).toBe(Number(15n * PAGE));
    other.kill('SIGKILL');
    await session.acquire([12], { waitMs: 10_000 });
    await session.acquire([12], { waitMs: 10_000 });
    expect((await admin.pool()).promisedBytes).toBe(0n);
  });

  it('lapses when its process is stopped, however much of it is unused', async () => {
    await start();
    const [other] = await reserver({ tokens: WHOLE, prompt: 10, lapseMs: 500 });
    other.kill('SIGSTOP');
    await until('it lapses', async () => (await admin.pool()).promisedBytes === 0n);
    // What it holds is its own; what was only promised is not.
    await session.acquire([16, 5, 1], { waitMs: 10_000 });
    expect(await admin.pool()).toMatchObject({ usedBytes: 31n * PAGE });
    other.kill('SIGCONT');
    expect(await nextOf(other, 'cut')).toMatchObject({ left: 0, reason: 'lapsed' });
  });

  it('lapses if no request comes, and allocate says so', async () => {
    await start();
    const reservation = await cache.reserve(WHOLE, { lapseMs: 20 });
    await until('it lapses', () => reservation.ended === 'lapsed');
    await expect(cache.allocate(1, { reservation })).rejects.toMatchObject({
      code: 'PROMISE_UNKNOWN',
      field: 'reservation',
    });
    expect(cache.stats().liveSlots).toBe(0);
  });

  it('that borrows is cut for a guarantee; the request goes on as any other', async () => {
    const tenants = [
      { name: 'chat', clients: ['chat'], guaranteed: '75%' },
      { name: 'batch', clients: ['batch'] },
    ];
    await start({ tenants }, 'chat');
    const [other] = await reserver({ name: 'batch', tokens: WHOLE, prompt: TOKENS_PER_PAGE });
    const cut = nextOf(other, 'cut');
    // 24 pages are its own, 15 of the 31 that are free are promised to who borrows.
    await cache.allocate(WHOLE, { waitMs: 0 });
    await cache.allocate(8 * TOKENS_PER_PAGE, { waitMs: 0 });
    expect(await cut).toMatchObject({ left: Number(7n * PAGE), reason: 'guarantee' });
    other.send(WHOLE);
    const { length, intact } = await nextOf(other, 'grown');
    expect(length).toBe(8 * TOKENS_PER_PAGE);
    expect(intact).toBe(true);
  });

  it('comes back with a daemon that was killed', async () => {
    const process = await spawnDaemon(settings);
    await startIn(process, 'engine');
    const reservation = await cache.reserve(WHOLE);
    const slot = await cache.allocate(TOKENS_PER_PAGE, { reservation });
    const back = new Promise(resolve => session.on('reconnected', resolve));
    await process.kill();
    await process.restart();
    await back;
    expect((await admin.pool()).promisedBytes).toBe(15n * PAGE);
    const rival = await rivalWith(16);
    expect(await decode(cache, slot, WHOLE, 3)).toBe(WHOLE);
    await rival.close();
  });
});

describe('bad input', () => {
  beforeEach(() => start());

  it('is refused, named, and changes nothing', async () => {
    for (const tokens of [0, -1, 1.5, WHOLE + 1, Number.POSITIVE_INFINITY, '1', null]) {
      const failure = cache.reserve(tokens as number);
      await expect(failure).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', field: 'tokens' });
    }
    expect(await admin.pool()).toMatchObject({ promisedBytes: 0n, waitingGrants: 0 });
  });

  it('of the other fields, of another cache, of a second request', async () => {
    await expect(cache.reserve(1, { lapseMs: 0 })).rejects.toMatchObject({ field: 'lapseMs' });
    await expect(cache.reserve(1, { waitMs: -1 })).rejects.toMatchObject({ field: 'waitMs' });
    await expect(cache.reserve(1, { slot: 3 })).rejects.toMatchObject({ code: 'SLOT_UNKNOWN' });
    const reservation = await cache.reserve(100);
    const other = await session.createCache(SMALL);
    const field = 'reservation';
    for (const wrong of [{}, null, 7])
      await expect(cache.allocate(1, { reservation: wrong as never })).rejects.toMatchObject({
        field,
      });
    await expect(other.allocate(1, { reservation })).rejects.toMatchObject({ field });
    await expect(cache.allocate(101, { reservation })).rejects.toMatchObject({
      field: 'promptTokens',
      message: expect.stringContaining('100, the length reserved'),
    });
    // One request at a time, also while it is being allocated.
    const both = [cache.allocate(100, { reservation }), cache.allocate(100, { reservation })];
    const [first, second] = await Promise.allSettled(both);
    expect(first?.status).toBe('fulfilled');
    expect(second).toMatchObject({ status: 'rejected', reason: { field } });
    await expect(cache.allocate(1, { reservation })).rejects.toMatchObject({ field });
    expect(cache.stats().liveSlots).toBe(1);
  });
});
