/** Sessions and caches over the service. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Metadata } from '@grpc/grpc-js';
import {
  call,
  PAGE,
  refusal,
  scriptedDaemon,
  TestStream,
  withToken,
  type ScriptedDaemon,
} from './harness.js';
import { geometry, openSession, sentIds, until } from './session-calls.js';

// Other work shares the machine: what is late is not yet wrong.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await scriptedDaemon({ requestsInFlightMax: 4, grantsInFlightMax: 16 });
});
afterEach(() => daemon.stop());

const open = () => openSession(daemon);

describe('a session', () => {
  test('without its token is refused on every call but GetServerInfo', async () => {
    open();
    const { memory } = daemon.clients;
    for (const metadata of [
      new Metadata(),
      withToken(new Uint8Array(32)),
      withToken(new Uint8Array(5)),
    ]) {
      const calls = [
        call(memory, 'createCache', { geometry }, metadata),
        call(memory, 'placeCache', {}, metadata),
        call(memory, 'destroyCache', {}, metadata),
        call(memory, 'acquire', {}, metadata),
        call(memory, 'return', {}, metadata),
        call(memory, 'adopt', {}, metadata),
      ];
      for (const each of calls) expect((await refusal(each)).code).toBe('SESSION_UNKNOWN');
      expect(await new TestStream(memory.exchange(metadata)).end()).toMatchObject({
        code: 'SESSION_UNKNOWN',
      });
      expect(await call(memory, 'getServerInfo', {}, metadata)).toMatchObject({
        pageBytes: String(PAGE),
        extentOrderMax: 9,
      });
    }
  });

  test('that has closed loses its calls and its stream, and is charged until its process exits', async () => {
    const session = open();
    const stream = session.stream();
    await stream.next();
    await session.acquire({ grantId: '1', orderCounts: [4] });
    daemon.channel.onEvent({ kind: 'closed', connection: session.connection, reason: 'test' });
    expect(await stream.end()).toMatchObject({ code: 'SESSION_UNKNOWN' });
    expect((await refusal(session.acquire({ grantId: '2', orderCounts: [1] }))).code).toBe(
      'SESSION_UNKNOWN',
    );
    expect(await session.pool()).toMatchObject({ usedBytes: String(4n * PAGE), sessionCount: 1 });
    const { admin } = daemon.clients;
    expect((await call(admin, 'listSessions', {})).sessions?.[0]).toMatchObject({
      state: 'SESSION_STATE_LINGERING',
      pid: process.pid,
    });
    daemon.channel.onEvent({ kind: 'exited', connection: session.connection });
    expect(await session.pool()).toMatchObject({ usedBytes: '0', sessionCount: 0 });
  });

  test('that closes with a grant on its way is settled without it', async () => {
    const session = open();
    daemon.channel.hold = true;
    const granted = refusal(session.acquire({ grantId: '1', orderCounts: [4] }));
    await until(() => daemon.channel.held.length === 1);
    daemon.channel.onEvent({ kind: 'closed', connection: session.connection, reason: 'test' });
    daemon.channel.held[0]?.settle({
      importedCount: 0,
      failure: { code: 'DAEMON_UNAVAILABLE', message: 'peer gone' },
    });
    await granted;
    daemon.channel.onEvent({ kind: 'exited', connection: session.connection });
    expect(await open().pool()).toMatchObject({ usedBytes: '0', sessionCount: 1 });
  });

  test('that holds nothing when it closes is forgotten at once: connecting uses up no sessions', async () => {
    for (let round = 0; round < 300; round += 1) {
      const { connection } = daemon.channel.hello();
      daemon.channel.onEvent({ kind: 'closed', connection, reason: 'test' });
      daemon.channel.onEvent({ kind: 'exited', connection });
    }
    expect(daemon.ledger.pool().sessionCount).toBe(0);
  });

  test('cannot return what another has, nor twice, nor one bad with good ones', async () => {
    const [one, two] = [open(), open()];
    await one.acquire({ grantId: '1', orderCounts: [2] });
    const [first = '', second = ''] = sentIds(daemon);
    expect((await refusal(two.giveBack([first]))).code).toBe('EXTENT_FOREIGN');
    expect((await refusal(one.giveBack([first, '123']))).code).toBe('EXTENT_UNKNOWN');
    expect((await refusal(one.giveBack([first, first]))).code).toMatch(
      /EXTENT_RETURNED|INVALID_ARGUMENT/,
    );
    expect(await one.pool()).toMatchObject({ usedBytes: String(2n * PAGE) });
    expect(await one.giveBack([first])).toMatchObject({ extentCount: 1, heldBytes: String(PAGE) });
    expect((await refusal(one.giveBack([first]))).code).toBe('EXTENT_RETURNED');
    expect(await one.giveBack([second])).toMatchObject({ heldBytes: '0' });
  });
});

describe('caches', () => {
  test('are planned, shown, placed and given back', async () => {
    const session = open();
    const { admin } = daemon.clients;
    const { cacheId, plan } = await session.createCache({ geometry, name: 'kv' });
    expect(plan).toMatchObject({ laneCount: 1, rowBytes: '1024' });
    expect((await call(admin, 'listCaches', {})).caches?.[0]).toMatchObject({
      cacheId,
      name: 'kv',
      geometry,
    });
    expect(
      (await call(admin, 'listCaches', { sessionId: '999' }).catch(() => ({ caches: [] }))).caches,
    ).toEqual([]);
    await session.placeCache({ cacheId, actualBaseAddress: String(1n << 44n) });
    await session.destroyCache(cacheId);
    expect((await refusal(session.destroyCache(cacheId))).code).toBe('CACHE_UNKNOWN');
  });

  test.each<[string, object, string]>([
    ['no geometry', { geometry: null }, 'geometry'],
    ['no layout', { geometry: { ...geometry, layout: 'LAYOUT_UNSPECIFIED' } }, 'geometry.layout'],
    ['an unknown layout', { geometry: { ...geometry, layout: 9 } }, 'geometry.layout'],
    ['an unknown dtype', { geometry: { ...geometry, dtype: 99 } }, 'geometry.dtype'],
    ['no layers', { geometry: { ...geometry, layersCount: 0 } }, 'geometry.layers_count'],
    [
      'too many layers',
      { geometry: { ...geometry, layersCount: 2 ** 32 - 1 } },
      'geometry.layers_count',
    ],
    ['no heads', { geometry: { ...geometry, kvHeadsCount: 0 } }, 'geometry.kv_heads_count'],
    ['too many heads', { geometry: { ...geometry, kvHeadsCount: 1e6 } }, 'geometry.kv_heads_count'],
    ['no dim', { geometry: { ...geometry, headDimCount: 0 } }, 'geometry.head_dim_count'],
    [
      'too large a dim',
      { geometry: { ...geometry, headDimCount: 1e6 } },
      'geometry.head_dim_count',
    ],
    ['no slots', { geometry: { ...geometry, slotsCount: 0 } }, 'geometry.slots_count'],
    ['too many slots', { geometry: { ...geometry, slotsCount: 1e6 } }, 'geometry.slots_count'],
    ['no tokens', { geometry: { ...geometry, maxTokensCount: 0 } }, 'geometry.max_tokens_count'],
    [
      'too many tokens',
      { geometry: { ...geometry, maxTokensCount: 2 ** 31 } },
      'geometry.max_tokens_count',
    ],
    ['an address inside a page', { geometry, wantedBaseAddress: '4097' }, 'wanted_base_address'],
    ['too long a name', { geometry, name: 'x'.repeat(65) }, 'name'],
    ['a name of control characters', { geometry, name: 'a\nb' }, 'name'],
  ])('%s is refused by name and changes nothing', async (_, request, field) => {
    const session = open();
    expect(await refusal(session.createCache(request))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field,
    });
    expect(await session.pool()).toMatchObject({ cacheCount: 0 });
  });

  test('a cache larger than the address plan is refused with the limit', async () => {
    const huge = {
      ...geometry,
      layersCount: 1024,
      kvHeadsCount: 1024,
      headDimCount: 8192,
      slotsCount: 65_536,
      maxTokensCount: 2 ** 24,
    };
    expect((await refusal(open().createCache({ geometry: huge }))).code).toBe(
      'ADDRESS_PLAN_EXHAUSTED',
    );
  });
});

test('no token is in the log of all this', async () => {
  const session = open();
  await session.acquire({ grantId: '1', orderCounts: [1] });
  const token = Buffer.from(session.token);
  const log = daemon.lines.join('');
  expect(daemon.lines.length).toBeGreaterThan(1);
  for (const encoding of ['hex', 'base64', 'base64url', 'latin1'] as const)
    expect(log).not.toContain(token.toString(encoding));
});
