import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Metadata } from '@grpc/grpc-js';
import { KvspanError } from '../../proto/errors.js';
import { guardUnary } from '../../daemon/service/guard.js';
import { systemRandom } from '../../daemon/ports/tokens.js';
import { createLogger } from '../../daemon/telemetry/log.js';
import {
  answerTo,
  call,
  PAGE,
  refusal,
  scriptedDaemon,
  TestStream,
  withToken,
  type ScriptedDaemon,
} from './harness.js';

// Other work shares the machine: what is late is not yet wrong.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await scriptedDaemon({ requestsInFlightMax: 4, grantsInFlightMax: 16 });
});
afterEach(() => daemon.stop());

const geometry = {
  layout: 'LAYOUT_TOKEN_MAJOR',
  layersCount: 2,
  kvHeadsCount: 2,
  headDimCount: 64,
  dtype: 'DTYPE_BF16',
  slotsCount: 4,
  maxTokensCount: 4096,
} as const;

function open() {
  const { connection, token } = daemon.channel.hello();
  const metadata = withToken(token);
  const { memory, admin } = daemon.clients;
  return {
    connection,
    token,
    stream: () => TestStream.open(memory, token),
    acquire: (request: object, ms?: number) => call(memory, 'acquire', request, metadata, ms),
    giveBack: (extentIds: string[]) => call(memory, 'return', { extentIds }, metadata),
    createCache: (request: object) => call(memory, 'createCache', request, metadata),
    destroyCache: (cacheId: string) => call(memory, 'destroyCache', { cacheId }, metadata),
    placeCache: (request: object) => call(memory, 'placeCache', request, metadata),
    adopt: (request: object) => call(memory, 'adopt', request, metadata),
    pool: () => call(admin, 'getPool', {}),
  };
}

/** Polls until it holds: what is waited for happens in another turn of the loop. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error('did not come true in time');
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

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
    const ids = heldIds();
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

/** Ids of all extents that the channel was told to send: the ledger's numbering is its own affair. */
function heldIds(): string[] {
  return daemon.channel.sent.map(String);
}

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

  test('that holds nothing when it closes is forgotten at once: reconnecting uses up no sessions', async () => {
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
    const [first = '', second = ''] = heldIds();
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
    expect(Date.now() - started).toBeLessThan(1_000);
    daemon.channel.held[0]?.settle({
      importedCount: 0,
      failure: { code: 'DEVICE_FAILED', message: 'too late' },
    });
    expect((await stuck).code).toBe('DEVICE_FAILED');
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

describe('the guard', () => {
  const lines: string[] = [];
  const log = createLogger(
    { logLevel: 'trace', logFile: null, logFormat: 'json' },
    { write: line => void lines.push(line) },
  );
  const guard = { log, random: systemRandom };
  type Failure = { code: number; details: string };

  async function answerOf(handler: () => unknown): Promise<Failure> {
    return new Promise(resolve => {
      guardUnary(
        'Test',
        guard,
        handler,
      )({ metadata: new Metadata() } as never, error => resolve(error as Failure));
    });
  }

  test.each([
    [
      'throws',
      () => {
        throw new TypeError('secret detail');
      },
    ],
    ['rejects', () => Promise.reject(new TypeError('secret detail'))],
    ['rejects with no error', () => Promise.reject('secret detail')],
  ])(
    'turns a handler that %s into an incident: the caller gets its id, the log the fault',
    async (_, handler) => {
      lines.length = 0;
      const failure = await answerOf(handler);
      expect(failure.code).toBe(13);
      expect(failure.details).not.toContain('secret detail');
      const incident = /incident ([0-9a-f]+)/.exec(failure.details)?.[1] ?? 'none';
      expect(lines.find(line => line.includes(incident))).toContain('secret detail');
    },
  );

  test('turns a refusal that cannot be written into INTERNAL', async () => {
    const impossible = new KvspanError('POOL_EXHAUSTED', 'x', { askedBytes: -1n });
    expect(
      await answerOf(() => {
        throw impossible;
      }),
    ).toMatchObject({ code: 13 });
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
