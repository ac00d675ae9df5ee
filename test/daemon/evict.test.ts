/** Evicting a session, as an administrator and the evicted client's calls see it. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { SessionInfo } from '../../proto/generated/kvspan/v1/SessionInfo.js';
import { call, PAGE, refusal, scriptedDaemon, TestStream, type ScriptedDaemon } from './harness.js';
import { geometry, openSession, sentIds, until } from './session-calls.js';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let daemon: ScriptedDaemon;
afterEach(() => daemon.stop());

const evict = (sessionId: string, kill = false) =>
  call(daemon.operator, 'evictSession', { sessionId, kill });

async function sessions(): Promise<SessionInfo[]> {
  const list = await call(daemon.clients.admin, 'listSessions', {});
  return list?.sessions ?? [];
}

/** A session that holds three pages and has a stream on which it waits for more than there is. */
async function working() {
  daemon = await scriptedDaemon();
  const client = openSession(daemon);
  await client.acquire({ grantId: '1', orderCounts: [3] });
  const { cacheId } = await client.createCache({ geometry });
  const stream = client.stream();
  await stream.next(({ ready }) => ready !== null);
  const waiting = refusal(client.acquire({ grantId: '2', orderCounts: [64], waitMs: 20_000 }));
  // Not every test minds what comes of it.
  waiting.catch(() => undefined);
  await until(async () => (await client.pool()).waitingGrantCount === 1);
  return { ...client, stream, waiting, cacheId };
}

describe('evicting a session', () => {
  test('names its process in the answer and the log, and kills nobody', async () => {
    await working();
    const answer = await evict('1');
    expect(answer).toMatchObject({
      killed: false,
      session: {
        pid: process.pid,
        uid: 1000,
        name: 'client 1',
        tenant: 'default',
        state: 'SESSION_STATE_EVICTED',
        heldBytes: String(3n * PAGE),
      },
    });
    expect(daemon.channel.killed).toEqual([]);
    const told = daemon.lines.map(line => JSON.parse(line) as Record<string, unknown>);
    expect(told.find(({ msg }) => /evicted/.test(String(msg)))).toMatchObject({
      pid: process.pid,
      uid: 1000,
      name: 'client 1',
      bytes: String(3n * PAGE),
      killed: false,
    });
  });

  test('ends its stream and what waits, and refuses its token from then on', async () => {
    const client = await working();
    await evict('1');
    expect(await client.stream.end()).toMatchObject({ code: 'SESSION_EVICTED' });
    expect(await client.waiting).toMatchObject({ code: 'SESSION_EVICTED' });
    const tried = [
      client.acquire({ grantId: '3', orderCounts: [1] }),
      client.createCache({ geometry }),
      client.placeCache({ cacheId: client.cacheId, actualBaseAddress: '0' }),
      client.adopt({ extentIds: [], extentOrders: [] }),
      TestStream.open(daemon.clients.memory, client.token)
        .end()
        .then(ended => Promise.reject(ended)),
    ];
    for (const refused of await Promise.all(tried.map(refusal)))
      expect(refused).toMatchObject({
        code: 'SESSION_EVICTED',
        message: expect.stringContaining(`process ${process.pid} was evicted by an administrator`),
      });
    expect(() => openSession(daemon)).toThrow(/SESSION_EVICTED.*started anew/);
    expect(await sessions()).toMatchObject([{ heldBytes: String(3n * PAGE), cacheCount: 1 }]);
  });

  test('leaves it its token to give back with; the books follow', async () => {
    const client = await working();
    await evict('1');
    await client.giveBack(sentIds(daemon).slice(0, 2));
    await client.destroyCache(client.cacheId);
    expect(await sessions()).toMatchObject([{ heldBytes: String(PAGE), cacheCount: 0 }]);
    const { tenants } = (await call(daemon.clients.admin, 'listTenants', {})) as never as {
      tenants: { evictedBytes: string }[];
    };
    expect(tenants[0]?.evictedBytes).toBe(String(PAGE));
    // With nothing left it stays, and so does its process outside, until that exits.
    await client.giveBack(sentIds(daemon).slice(2, 3));
    expect(await sessions()).toMatchObject([{ state: 'SESSION_STATE_EVICTED', heldBytes: '0' }]);
    expect(daemon.channel.forgotten).toEqual([]);
    daemon.channel.onEvent({ kind: 'exited', connection: client.connection });
    expect(await sessions()).toEqual([]);
    expect((await refusal(client.giveBack([]))).code).toBe('SESSION_UNKNOWN');
    openSession(daemon);
  });

  test('of one that closed but whose process lives works as well, and twice is once', async () => {
    const client = await working();
    daemon.channel.disconnect(client.connection);
    await until(async () => (await sessions())[0]?.state === 'SESSION_STATE_LINGERING');
    for (let time = 0; time < 2; time += 1)
      expect(await evict('1')).toMatchObject({ session: { state: 'SESSION_STATE_EVICTED' } });
    await client.giveBack(sentIds(daemon).slice(0, 3));
    expect(() => openSession(daemon)).toThrow(/SESSION_EVICTED/);
  });

  test('in the middle of a grant settles it on its account', async () => {
    daemon = await scriptedDaemon();
    const client = openSession(daemon);
    daemon.channel.hold = true;
    const asked = client.acquire({ grantId: '1', orderCounts: [4] });
    await until(() => daemon.channel.held.length === 1);
    await evict('1');
    // Two had been sent when the connection ended: the process may have them.
    const failure = { code: 'GRANT_CANCELLED', message: 'the connection ended' };
    daemon.channel.held[0]?.settle({ importedCount: 2, failure });
    expect((await asked).grant).toMatchObject({ extentCount: 2 });
    expect(await sessions()).toMatchObject([{ heldBytes: String(2n * PAGE) }]);
  });

  test('kills its process if it is told to, and only then', async () => {
    const client = await working();
    expect(await evict('1', true)).toMatchObject({ killed: true, session: { pid: process.pid } });
    expect(daemon.channel.killed).toEqual([client.connection]);
  });

  test('whose process may not be killed changes nothing', async () => {
    const client = await working();
    daemon.channel.unkillable = true;
    expect((await refusal(evict('1', true))).code).toBe('PERMISSION_DENIED');
    expect(await sessions()).toMatchObject([{ state: 'SESSION_STATE_OPEN' }]);
    await client.giveBack(sentIds(daemon).slice(0, 3));
  });

  test('that a later one of its process has taken over does not kill that one', async () => {
    const client = await working();
    daemon.channel.disconnect(client.connection);
    const heir = openSession(daemon);
    await heir.adopt({ extentIds: sentIds(daemon).slice(0, 3), extentOrders: [0, 0, 0] });
    const geometryAgain = { geometry, wantedBaseAddress: String(daemon.limits.addressPlanBase) };
    await heir.createCache(geometryAgain);
    expect((await sessions()).map(({ sessionId }) => sessionId)).toEqual(['2']);
    expect((await refusal(evict('1', true))).code).toBe('SESSION_UNKNOWN');
    expect(daemon.channel.killed).toEqual([]);
  });

  test('that does not exist, or from the socket of everybody, is refused', async () => {
    const client = await working();
    expect(await refusal(evict('77'))).toMatchObject({
      code: 'SESSION_UNKNOWN',
      field: 'session_id',
    });
    const elsewhere = call(daemon.clients.admin, 'evictSession', { sessionId: '1' });
    expect((await refusal(elsewhere)).code).toBe('PERMISSION_DENIED');
    expect(client.stream.ended).toBeNull();
  });
});
