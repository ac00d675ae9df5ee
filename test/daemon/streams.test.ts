/** The stream of a session: its order, its limits, its end. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { answerTo, scriptedDaemon, withToken, type ScriptedDaemon } from './harness.js';
import { openSession, until } from './session-calls.js';

// Other work shares the machine: what is late is not yet wrong.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await scriptedDaemon({ requestsInFlightMax: 4, grantsInFlightMax: 16 });
});
afterEach(() => daemon.stop());

const open = () => openSession(daemon);

describe('a stream', () => {
  test('is one per session; the first goes on', async () => {
    const session = open();
    const first = session.stream();
    await first.next();
    expect(await session.stream().end()).toMatchObject({ code: 'STREAM_EXISTS' });
    const id = first.send({ acquire: { grantId: '1', orderCounts: [1] } });
    expect((await first.next(answerTo(id))).response).toBe('grant');
    first.call.cancel();
  });

  test.each<[string, object, string]>([
    ['no request', {}, 'request'],
    ['grant 0', { acquire: { grantId: '0', orderCounts: [1] } }, 'grant_id'],
    ['nothing asked', { acquire: { grantId: '1', orderCounts: [] } }, 'order_counts'],
    [
      'eleven orders',
      { acquire: { grantId: '1', orderCounts: Array(11).fill(1) } },
      'order_counts',
    ],
    [
      'a wait beyond the limit',
      { acquire: { grantId: '1', orderCounts: [1], waitMs: 4_000_000_000 } },
      'wait_ms',
    ],
    ['an extent that never was', { return: { extentIds: ['77'] } }, 'extent_ids'],
  ])('outlives a bad request (%s): it is answered with the field', async (_, request, field) => {
    const session = open();
    const stream = session.stream();
    const bad = stream.send(request);
    const answer = await stream.next(answerTo(bad));
    expect(answer.refusal?.field).toMatch(new RegExp(`^${field}`));
    const good = stream.send({ acquire: { grantId: '1', orderCounts: [1] } });
    expect((await stream.next(answerTo(good))).response).toBe('grant');
    stream.call.cancel();
  });

  test('refuses request id 0, which marks events', async () => {
    const stream = open().stream();
    await stream.next();
    stream.call.write({ requestId: '0', acquire: { grantId: '1', orderCounts: [1] } });
    expect((await stream.next()).refusal).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'request_id',
    });
    stream.call.cancel();
  });

  test('refuses more requests in flight than its limit, and answers the others', async () => {
    const stream = open().stream();
    daemon.channel.hold = true;
    const ids = [1, 2, 3, 4, 5].map(grant =>
      stream.send({ acquire: { grantId: String(grant), orderCounts: [1] } }),
    );
    expect((await stream.next(answerTo(ids[4] ?? ''))).refusal).toMatchObject({
      code: 'GRANT_LIMIT',
      retryable: true,
    });
    for (const grant of daemon.channel.held.splice(0))
      grant.settle({ importedCount: 1, failure: null });
    for (const id of ids.slice(0, 4))
      expect((await stream.next(answerTo(id))).response).toBe('grant');
    stream.call.cancel();
  });

  test('that the client half-closes still gets its answers, then ends', async () => {
    const stream = open().stream();
    daemon.channel.hold = true;
    const id = stream.send({ acquire: { grantId: '1', orderCounts: [1] } });
    stream.call.end();
    await until(() => daemon.channel.held.length === 1);
    daemon.channel.held[0]?.settle({ importedCount: 1, failure: null });
    expect((await stream.next(answerTo(id))).response).toBe('grant');
    expect(await stream.end()).toBe('ok');
  });

  test('whose client does not read holds no more than its bound', async () => {
    const session = open();
    const { memory } = daemon.clients;
    const unread = memory.exchange(withToken(session.token));
    unread.on('error', () => undefined);
    unread.pause();
    const before = process.memoryUsage().rss;
    for (let id = 1; id <= 200_000; id += 1) {
      if (!unread.write({ requestId: String(id), cancel: { grantId: '1' } })) {
        const drained = await Promise.race([
          new Promise(resolve => unread.once('drain', () => resolve(true))),
          new Promise(resolve => setTimeout(() => resolve(false), 1_000)),
        ]);
        if (drained === false) break;
      }
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
    const other = open();
    expect((await other.acquire({ grantId: '1', orderCounts: [1] })).grant).toMatchObject({
      extentCount: 1,
    });
    unread.cancel();
  });
});
