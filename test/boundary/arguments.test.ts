/**
 * Every argument of the native surface, each with values of wrong types and out of range: all are
 * refused by an INVALID_ARGUMENT that names the argument's path, and change nothing.
 */
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KvspanError } from '../../proto/errors.js';
import { loadNative, type NativeModule } from '../../native/index.js';
import { cacheOptions, hostDevice, openWorld, pages, plan, type World } from './support.js';

type Kind = keyof typeof badValues;
const badValues = {
  integer: ['4', NaN, Infinity, 1.5, -1, 2 ** 32, 4n, null, undefined, {}, true, [3], Symbol('s')],
  bigint: [1, -1n, 2n ** 64n, '1', 1.5, null, undefined, {}, new Uint8Array(1)],
  number: ['1', NaN, -Infinity, 1n, null, undefined, {}],
  text: [1, '', 'a\0b', null, undefined, {}, 'x'.repeat(5000), ['a']],
  textOrNull: [1, '', 'a\0b', undefined, {}],
  object: [1, 'x', null, undefined, () => 0, 5n],
  callback: [1, null, undefined, {}, 'f'],
  word: ['no-such-word', '', 1, null, undefined, {}, ['host']],
  device: [{}, null, undefined, 1, { describe: () => 0, close: () => 0 }],
  int32Array: [[1], new Uint32Array(16), new Int32Array(16).buffer, null, undefined, 1],
  uint8Array: [[1], new Uint16Array(4), new ArrayBuffer(8), null, undefined, 'abc'],
  float32Array: [[1], new Float64Array(4), null, undefined, 1],
  bigUint64Array: [[1n], new BigInt64Array(4), new Uint8Array(8), null, undefined, 1n],
} as const;

/** `call` puts a bad value in the place that `path` names; all else is good. */
interface Row {
  readonly call: string;
  readonly path: string;
  readonly kind: Kind;
  readonly run: (bad: never) => unknown;
}

let world: World;
let native: NativeModule;
beforeAll(async () => {
  native = loadNative();
  world = await openWorld();
});
afterAll(() => world.close());

const listenGood = (): object => ({
  device: world.device,
  path: `${world.folder}/other.sock`,
  mode: 0o600,
  connectionsMax: 8,
  helloTimeoutMs: 1000,
});
const attendGood = {
  dtype: 'fp32',
  queryHeads: 2,
  kvHeads: 1,
  headDim: 4,
  kLane: 0,
  vLane: 0,
  kOffset: 0,
  vOffset: 16,
  scale: 1,
  queries: new Float32Array(8),
} as const;
const bufferGood = { ...attendGood, length: 4, rowBytes: 32 } as const;
const sessionGood = { device: hostDevice, lowWaterBytes: 0n, highWaterBytes: 0n };
const onEvent = (): void => {};

function fields(
  call: string,
  prefix: string,
  kinds: Record<string, Kind>,
  run: (field: object) => unknown,
): Row[] {
  return Object.entries(kinds).map(([name, kind]) => ({
    call,
    path: `${prefix}.${name}`,
    kind,
    run: (bad: never) => run({ [name]: bad }),
  }));
}

function args(
  call: string,
  kinds: Record<string, Kind>,
  run: (...values: never[]) => unknown,
  good: readonly unknown[],
): Row[] {
  return Object.entries(kinds).map(([path, kind], index) => ({
    call,
    path,
    kind,
    run: (bad: never) => run(...(good.map((value, i) => (i === index ? bad : value)) as never[])),
  }));
}

const device = { backend: 'word', ordinal: 'integer', library: 'textOrNull' } as const;
const rows: Row[] = [
  ...args('openDevice', { options: 'object' }, bad => native.openDevice(bad), [0]),
  ...fields('openDevice', 'options', device, bad => native.openDevice({ ...hostDevice, ...bad })),
  ...args('openRawDevice', { options: 'object' }, bad => native.openRawDevice(bad), [0]),
  ...fields('openRawDevice', 'options', device, bad =>
    native.openRawDevice({ ...hostDevice, ...bad }),
  ),

  ...args('openKernels', { options: 'object' }, bad => native.openKernels(bad), [0]),
  ...fields(
    'openKernels',
    'options',
    { ordinal: 'integer', library: 'textOrNull', folder: 'text' },
    bad => native.openKernels({ ordinal: 0, library: null, folder: '/nowhere', ...bad }),
  ),

  ...args('listen', { options: 'object' }, bad => native.listen(bad, onEvent), [0]),
  {
    call: 'listen',
    path: 'onEvent',
    kind: 'callback',
    run: bad => native.listen(listenGood() as never, bad),
  },
  ...fields(
    'listen',
    'options',
    {
      device: 'device',
      path: 'text',
      mode: 'integer',
      connectionsMax: 'integer',
      helloTimeoutMs: 'integer',
    },
    bad => native.listen({ ...listenGood(), ...bad } as never, onEvent),
  ),
  ...args(
    'welcome',
    { connection: 'integer', sessionId: 'bigint', token: 'uint8Array', servicePath: 'text' },
    (...all) => world.server.welcome(...(all as unknown as [number, bigint, Uint8Array, string])),
    [1, 1n, new Uint8Array(32), '/x'],
  ),
  ...args(
    'refuse',
    { connection: 'integer', code: 'text', message: 'text' },
    (...all) => world.server.refuse(...(all as unknown as [number, string, string])),
    [1, 'DRAINING', 'x'],
  ),
  ...args(
    'grant',
    {
      connection: 'integer',
      grantId: 'bigint',
      extentIds: 'bigUint64Array',
      extentBytes: 'bigUint64Array',
      ackTimeoutMs: 'integer',
    },
    (...all) =>
      world.server.grant(
        ...(all as unknown as [number, bigint, BigUint64Array, BigUint64Array, number]),
      ),
    [1, 5n, ...pages(1, 900), 1000],
  ),
  ...args('disconnect', { connection: 'integer' }, bad => world.server.disconnect(bad), [0]),

  ...args(
    'openSession',
    { options: 'object', onEvent: 'callback' },
    (a, b) => native.openSession(a, b),
    [sessionGood, onEvent],
  ),
  ...fields(
    'openSession',
    'options',
    { device: 'object', lowWaterBytes: 'bigint', highWaterBytes: 'bigint' },
    bad => native.openSession({ ...sessionGood, ...bad }, onEvent),
  ),
  ...fields('openSession', 'options.device', device, bad =>
    native.openSession({ ...sessionGood, device: { ...hostDevice, ...bad } }, onEvent),
  ),
  ...args(
    'connect',
    { path: 'text', name: 'text', timeoutMs: 'integer' },
    (...all) => world.session.connect(...(all as unknown as [string, string, number])),
    ['/nowhere', 'x', 1000],
  ),
  ...args(
    'createCache',
    { plan: 'object', options: 'object' },
    (a, b) => world.session.createCache(a, b),
    [plan, cacheOptions],
  ),
  ...fields(
    'createCache',
    'plan',
    {
      wantedBase: 'bigint',
      totalBytes: 'bigint',
      laneCount: 'integer',
      rowBytes: 'bigint',
      slotStrideBytes: 'bigint',
      laneStrideBytes: 'bigint',
      slotCount: 'integer',
      maxTokens: 'integer',
    },
    bad => world.session.createCache({ ...plan, ...bad }, cacheOptions),
  ),
  ...fields(
    'createCache',
    'options',
    { growth: 'word', lookaheadTokens: 'integer', overreadTokens: 'integer' },
    bad => world.session.createCache(plan, { ...cacheOptions, ...bad }),
  ),
  ...args('refillDone', { retryAfterMs: 'integer' }, bad => world.session.refillDone(bad), [0]),
  ...args('keep', { bytes: 'bigint' }, bad => world.session.keep(bad), [0n]),
  ...args('unkeep', { bytes: 'bigint' }, bad => world.session.unkeep(bad), [0n]),
  ...args('giveBack', { bytes: 'bigint' }, bad => world.session.giveBack(bad), [0]),
  ...args(
    'returnExtents',
    { extentIds: 'bigUint64Array' },
    bad => world.session.returnExtents(bad),
    [0],
  ),

  ...args('step', { lengths: 'int32Array' }, bad => world.cache.step(bad), [0]),
  ...args(
    'allocate',
    { tokens: 'integer', patienceMs: 'integer' },
    (a, b) => world.cache.allocate(a, b),
    [1, 0],
  ),
  ...args(
    'allocatePromised',
    { tokens: 'integer', patienceMs: 'integer' },
    (a, b) => world.cache.allocatePromised(a, b),
    [1, 0],
  ),
  ...args('promise', { slot: 'integer' }, bad => world.cache.promise(bad, true), [0]),
  ...args('allocateWarm', { tokens: 'integer' }, bad => world.cache.allocateWarm(bad), [0]),
  ...args('free', { slot: 'integer' }, bad => world.cache.free(bad, null), [0]),
  ...args('length', { slot: 'integer' }, bad => world.cache.length(bad), [0]),
  ...args('mappedTokens', { slot: 'integer' }, bad => world.cache.mappedTokens(bad), [0]),
  ...(['write', 'read'] as const).flatMap(name =>
    args(
      name,
      {
        slot: 'integer',
        lane: 'integer',
        firstToken: 'integer',
        tokens: 'integer',
        offset: 'integer',
        width: 'integer',
        data: 'uint8Array',
      },
      (...all) =>
        world.cache[name](
          ...(all as unknown as [number, number, number, number, number, number, Uint8Array]),
        ),
      [0, 0, 0, 1, 0, 16, new Uint8Array(16)],
    ),
  ),
  ...args('attend', { slot: 'integer', request: 'object' }, (a, b) => world.cache.attend(a, b), [
    0,
    attendGood,
  ]),
  ...fields(
    'attend',
    'request',
    {
      dtype: 'word',
      queryHeads: 'integer',
      kvHeads: 'integer',
      headDim: 'integer',
      kLane: 'integer',
      vLane: 'integer',
      kOffset: 'integer',
      vOffset: 'integer',
      scale: 'number',
      queries: 'float32Array',
    },
    bad => world.cache.attend(0, { ...attendGood, ...bad }),
  ),
  ...args(
    'attendBuffer',
    { data: 'uint8Array', request: 'object' },
    (a, b) => native.attendBuffer(a, b),
    [new Uint8Array(128), bufferGood],
  ),
  ...fields(
    'attendBuffer',
    'request',
    { length: 'integer', rowBytes: 'integer', queries: 'float32Array' },
    bad => native.attendBuffer(new Uint8Array(128), { ...bufferGood, ...bad }),
  ),
  ...args('hostStreamSubmit', { stream: 'bigint' }, bad => native.hostStreamSubmit(bad), [0]),
  ...args('hostStreamComplete', { stream: 'bigint' }, bad => native.hostStreamComplete(bad), [0]),
  ...args('growFdTable', { count: 'integer' }, bad => native.growFdTable(bad), [0]),
  ...args('lockFile', { path: 'text' }, bad => native.lockFile(bad), [0]),
  ...args('setUmask', { mask: 'integer' }, bad => native.setUmask(bad), [0]),
];

const promising = new Set(
  'grant connect giveBack allocate allocatePromised attend attendBuffer'.split(' '),
);

async function refusal(row: Row, bad: unknown): Promise<unknown> {
  if (promising.has(row.call))
    return (row.run(bad as never) as Promise<unknown>).then(
      () => null,
      (error: unknown) => error,
    );
  try {
    row.run(bad as never);
    return null;
  } catch (error) {
    return error;
  }
}

describe('a bad argument is refused by its path', () => {
  test.each(rows.map(row => [row.call, row.path, row] as const))(
    '%s: %s',
    async (_call, path, row) => {
      for (const bad of badValues[row.kind]) {
        const error = await refusal(row, bad);
        expect(error, `${path} = ${inspect(bad)}`).toBeInstanceOf(KvspanError);
        expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: path });
        expect((error as KvspanError).message).toContain(`${path}: got `);
        expect((error as KvspanError).message).toContain('allowed: ');
      }
    },
  );

  test('the refusal shows what was given and what is allowed', () => {
    expect(() =>
      world.session.createCache({ ...plan, laneCount: '4' as never }, cacheOptions),
    ).toThrow('plan.laneCount: got string "4", allowed: integer 0..4294967295');
  });

  test('a stream that is neither a bigint nor null is refused', () => {
    for (const bad of [undefined, 1, '1', -1n]) {
      expect(() => world.cache.free(0, bad as never)).toThrow('stream: got ');
    }
  });
});

describe('sizes that do not fit together are refused', () => {
  test('a token that is not 32 bytes', () => {
    expect(() => world.server.welcome(1, 1n, new Uint8Array(31), '/x')).toThrow(
      'token: got 31 bytes, allowed: 32 bytes',
    );
  });

  test('a grant whose lists differ in length, or are empty', async () => {
    await expect(
      world.server.grant(1, 9n, new BigUint64Array(2), new BigUint64Array(1), 100),
    ).rejects.toMatchObject({ field: 'extentBytes' });
    await expect(
      world.server.grant(1, 9n, new BigUint64Array(0), new BigUint64Array(0), 100),
    ).rejects.toMatchObject({ field: 'extentIds' });
  });

  test('a buffer that is not tokens x width', () => {
    expect(() => world.cache.write(0, 0, 0, 2, 0, 16, new Uint8Array(31))).toThrow(
      'data: got 31 bytes, allowed: tokens x width = 32 bytes',
    );
  });

  test('queries that are no whole number of rows', async () => {
    await expect(
      world.cache.attend(0, { ...attendGood, queries: new Float32Array(7) }),
    ).rejects.toMatchObject({ field: 'request.queries' });
  });

  test('a buffer shorter than the attention reaches', async () => {
    await expect(native.attendBuffer(new Uint8Array(127), bufferGood)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'data',
    });
    await expect(native.attendBuffer(new Uint8Array(128), bufferGood)).resolves.toBeInstanceOf(
      Float32Array,
    );
  });
});
