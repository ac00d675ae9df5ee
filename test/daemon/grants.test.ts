/** Grants over the service, from the request to the answer; and what draining does to them. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  answerTo,
  PAGE,
  refusal,
  scriptedDaemon,
  withToken,
  type ScriptedDaemon,
} from './harness.js';
import { openSession, sentIds, until } from './session-calls.js';

// Other work shares the machine: what is late is not yet wrong.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await scriptedDaemon({ requestsInFlightMax: 4, grantsInFlightMax: 16 });
});
afterEach(() => daemon.stop());

const open = () => openSession(daemon);

describe('a grant', () => {
  test('is answered, on a unary call, once its extents are with the client', async () => {
    const session = open();
    expect((await session.acquire({ grantId: '9', orderCounts: [3, 1] })).grant).toEqual({
      grantId: '9',
      extentCount: 4,
      grantedBytes: String(5n * PAGE),
      heldBytes: String(5n * PAGE),
    });
    expect(await session.pool()).toMatchObject({
      usedBytes: String(5n * PAGE),
      extentCount: '4',
      grantedTotalCount: '1',
    });
  });

  test("is answered on the stream with the request's id; ready comes first", async () => {
    const session = open();
    const stream = session.stream();
    const ready = await stream.next();
    expect(ready.ready).toMatchObject({ heldBytes: '0', limitBytes: String(64n * PAGE) });
    const id = stream.send({ acquire: { grantId: '1', orderCounts: [1] } });
    expect((await stream.next(answerTo(id))).grant).toMatchObject({ extentCount: 1 });
    stream.call.cancel();
  });

  test('of which a part arrived is a grant of that part, and the rest is free again', async () => {
    const session = open();
    daemon.channel.hold = true;
    const granted = session.acquire({ grantId: '1', orderCounts: [4] });
    await until(() => daemon.channel.held.length === 1);
    daemon.channel.held[0]?.settle({
      importedCount: 3,
      failure: { code: 'DEVICE_EXHAUSTED', message: 'out of memory' },
    });
    expect((await granted).grant).toMatchObject({
      extentCount: 3,
      grantedBytes: String(3n * PAGE),
      heldBytes: String(3n * PAGE),
    });
    expect(await session.pool()).toMatchObject({ usedBytes: String(3n * PAGE) });
  });

  test.each([
    ['DEVICE_EXHAUSTED', 'DEVICE_EXHAUSTED'],
    ['DEVICE_FAILED', 'DEVICE_FAILED'],
    ['SOMETHING_NEW', 'DEVICE_EXHAUSTED'],
  ] as const)(
    'of which nothing arrived (%s) is refused with %s and charges nothing',
    async (failure, code) => {
      const session = open();
      daemon.channel.hold = true;
      const granted = refusal(session.acquire({ grantId: '1', orderCounts: [4] }));
      await until(() => daemon.channel.held.length === 1);
      daemon.channel.held[0]?.settle({
        importedCount: 0,
        failure: { code: failure, message: 'the device says no' },
      });
      expect(await granted).toMatchObject({
        code,
        askedBytes: 4n * PAGE,
        message: expect.stringContaining('the device says no'),
      });
      expect(await session.pool()).toMatchObject({ usedBytes: '0' });
    },
  );

  test('that the pool cannot meet names what was asked, what is free and who holds the rest', async () => {
    const [one, two] = [open(), open()];
    await one.acquire({ grantId: '1', orderCounts: [60] });
    const error = await refusal(two.acquire({ grantId: '1', orderCounts: [8] }));
    expect(error).toMatchObject({ askedBytes: 8n * PAGE, freeBytes: 4n * PAGE, retryable: true });
    expect(error.code).toBe('POOL_EXHAUSTED');
    expect(error.holders[0]).toMatchObject({ pid: process.pid, heldBytes: 60n * PAGE });
  });

  test('waits for memory, asks the holder for it, and is met by what comes back', async () => {
    const [holder, asker] = [open(), open()];
    const stream = holder.stream();
    await stream.next();
    await holder.acquire({ grantId: '1', orderCounts: [64] });
    const waiting = asker.acquire({ grantId: '1', orderCounts: [2], waitMs: 5_000 });
    const { reclaim } = await stream.next(message => message.response === 'reclaim');
    expect(BigInt(reclaim?.wantedBytes ?? 0)).toBeGreaterThanOrEqual(2n * PAGE);
    const ids = sentIds(daemon);
    const returned = stream.send({ return: { extentIds: ids.slice(0, 2) } });
    expect((await stream.next(answerTo(returned))).returned).toMatchObject({
      extentCount: 2,
      heldBytes: String(62n * PAGE),
    });
    const report = stream.send({
      reclaimReport: { reclaimId: reclaim?.reclaimId ?? '0', returnedBytes: String(2n * PAGE) },
    });
    expect((await stream.next(answerTo(report))).response).toBe('reclaimNoted');
    expect((await waiting).grant).toMatchObject({ extentCount: 2 });
    stream.call.cancel();
  });

  test('that waits is refused at its time', async () => {
    const [holder, asker] = [open(), open()];
    await holder.acquire({ grantId: '1', orderCounts: [64] });
    const started = Date.now();
    const error = await refusal(asker.acquire({ grantId: '1', orderCounts: [2], waitMs: 120 }));
    expect(['POOL_EXHAUSTED', 'DEADLINE_EXCEEDED']).toContain(error.code);
    expect(Date.now() - started).toBeGreaterThanOrEqual(100);
    expect(await holder.pool()).toMatchObject({ waitingGrantCount: 0 });
  });

  test('whose caller has gone waits no longer', async () => {
    const [holder, asker] = [open(), open()];
    await holder.acquire({ grantId: '1', orderCounts: [64] });
    const late = asker.acquire({ grantId: '1', orderCounts: [2], waitMs: 30_000 }, 150);
    expect((await refusal(late)).code).toBe('DEADLINE_EXCEEDED');
    await until(async () => (await holder.pool()).waitingGrantCount === 0);
    const request = { grantId: '2', orderCounts: [2], waitMs: 30_000 };
    const pending = daemon.clients.memory.acquire(request, withToken(asker.token), () => undefined);
    await until(async () => (await holder.pool()).waitingGrantCount === 1);
    pending.cancel();
    await until(async () => (await holder.pool()).waitingGrantCount === 0);
  });

  test('of a stream that has gone waits no longer', async () => {
    const [holder, asker] = [open(), open()];
    await holder.acquire({ grantId: '1', orderCounts: [64] });
    const stream = asker.stream();
    stream.send({ acquire: { grantId: '5', orderCounts: [2], waitMs: 30_000 } });
    await until(async () => (await holder.pool()).waitingGrantCount === 1);
    stream.call.cancel();
    await until(async () => (await holder.pool()).waitingGrantCount === 0);
    const again = asker.stream();
    expect((await again.next()).response).toBe('ready');
    again.call.cancel();
  });

  test('is cancelled by its session: the asker hears it, and the canceller too', async () => {
    const [holder, asker] = [open(), open()];
    await holder.acquire({ grantId: '1', orderCounts: [64] });
    const stream = asker.stream();
    const acquire = stream.send({ acquire: { grantId: '5', orderCounts: [2], waitMs: 30_000 } });
    const cancel = stream.send({ cancel: { grantId: '5' } });
    expect((await stream.next(answerTo(acquire))).refusal?.code).toBe('GRANT_CANCELLED');
    expect((await stream.next(answerTo(cancel))).cancelled).toEqual({ cancelled: true });
    const again = stream.send({ cancel: { grantId: '5' } });
    expect((await stream.next(answerTo(again))).cancelled).toEqual({ cancelled: false });
    stream.call.cancel();
  });
});

describe('draining', () => {
  test('lets a grant on its way arrive, and lets nobody new in', async () => {
    const session = open();
    daemon.channel.hold = true;
    const granted = session.acquire({ grantId: '1', orderCounts: [4] });
    await until(() => daemon.channel.held.length === 1);
    const drained = daemon.services.drain(5_000);
    expect(() => daemon.channel.hello()).toThrow(/DRAINING/);
    expect((await refusal(session.acquire({ grantId: '2', orderCounts: [1] }))).code).toBe(
      'DRAINING',
    );
    daemon.channel.held[0]?.settle({ importedCount: 4, failure: null });
    expect((await granted).grant).toMatchObject({ extentCount: 4 });
    await drained;
  });

  test('ends at its deadline, whatever is still on its way', async () => {
    const session = open();
    daemon.channel.hold = true;
    const stuck = refusal(session.acquire({ grantId: '1', orderCounts: [4] }));
    await until(() => daemon.channel.held.length === 1);
    const started = Date.now();
    await daemon.services.drain(100);
    expect(Date.now() - started).toBeLessThan(20_000);
    daemon.channel.held[0]?.settle({
      importedCount: 0,
      failure: { code: 'DEVICE_FAILED', message: 'too late' },
    });
    expect((await stuck).code).toBe('DEVICE_FAILED');
  });
});
