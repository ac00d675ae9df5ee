/** Whatever comes in on the gRPC socket, the daemon goes on serving and its books add up. */
import { randomBytes } from 'node:crypto';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { configSchema } from '../../daemon/config/schema.js';
import { memoryServiceDefinition, adminServiceDefinition, loadPackage } from '../../proto/load.js';
import {
  call,
  refusal,
  scriptedDaemon,
  TestStream,
  withToken,
  type ScriptedDaemon,
} from './harness.js';

// Other work shares the machine: what is late is not yet wrong.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const MESSAGES = 5_000;
const IN_FLIGHT = 64;
const CONNECTIONS = 500;

const raw = (bytes: Buffer): Buffer => bytes;

let daemon: ScriptedDaemon;
const faults: unknown[] = [];
const onFault = (error: unknown): void => void faults.push(error);

beforeEach(async () => {
  faults.length = 0;
  process.on('unhandledRejection', onFault);
  process.on('uncaughtException', onFault);
  daemon = await scriptedDaemon({ messageBytesMax: 65_536, logLevel: 'error' });
});

afterEach(async () => {
  await daemon.stop();
  process.off('unhandledRejection', onFault);
  process.off('uncaughtException', onFault);
});

/** The next client is served; what was thrown where nobody catches: nothing, one hopes. */
async function faultsSoFar(): Promise<unknown[]> {
  await stillServes();
  return faults;
}

async function stillServes(): Promise<void> {
  const { memory } = daemon.clients;
  const { connection, token } = daemon.channel.hello();
  const { grant } = await call(
    memory,
    'acquire',
    { grantId: '1', orderCounts: [1] },
    withToken(token),
  );
  expect(grant?.extentCount).toBe(1);
  daemon.channel.onEvent({ kind: 'closed', connection, reason: 'test' });
  daemon.channel.onEvent({ kind: 'exited', connection });
  daemon.ledger.check();
}

/** Repeatable: the same seed, the same bytes. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    const mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    return Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97) >>> 8;
  };
}

const { CreateCacheRequest, AcquireRequest, ReturnRequest, AdoptRequest } = loadPackage();
const valid = [
  CreateCacheRequest.serialize({
    geometry: {
      layout: 1,
      layersCount: 2,
      kvHeadsCount: 1,
      headDimCount: 64,
      dtype: 1,
      slotsCount: 2,
      maxTokensCount: 64,
    },
    name: 'x',
  }),
  AcquireRequest.serialize({ grantId: '1', orderCounts: [1, 2], minimumBytes: '4096', waitMs: 1 }),
  ReturnRequest.serialize({ extentIds: ['1', '2', '3'] }),
  AdoptRequest.serialize({ extentIds: ['1', '2'], extentOrders: [0, 1] }),
];

/** Noise, or a valid message with a few bytes changed, cut off or doubled. */
function malformed(next: () => number): Buffer {
  const kind = next() % 4;
  if (kind === 0) return randomBytes(next() % 200);
  const message = Buffer.from(valid[next() % valid.length] ?? Buffer.alloc(0));
  if (kind === 1) return message.subarray(0, next() % (message.length + 1));
  if (kind === 2) return Buffer.concat([message, message.subarray(next() % message.length)]);
  for (let change = 0; change <= next() % 4; change += 1)
    message[next() % message.length] = next() & 0xff;
  return message;
}

test(`${MESSAGES} malformed messages to every unary call`, async () => {
  const { connection, token } = daemon.channel.hello();
  const paths = [
    ...Object.values(memoryServiceDefinition()),
    ...Object.values(adminServiceDefinition()),
  ]
    .filter(method => !method.requestStream)
    .map(method => method.path);
  const client = new Client(`unix:${daemon.paths.service}`, credentials.createInsecure());
  const next = generator(1);
  const outcomes = new Map<number, number>();
  const one = (): Promise<void> =>
    new Promise(resolve => {
      client.makeUnaryRequest(
        paths[next() % paths.length] ?? '',
        raw,
        raw,
        malformed(next),
        withToken(token),
        { deadline: Date.now() + 60_000 },
        (error: ServiceError | null) => {
          outcomes.set(error?.code ?? 0, (outcomes.get(error?.code ?? 0) ?? 0) + 1);
          resolve();
        },
      );
    });
  for (let sent = 0; sent < MESSAGES; sent += IN_FLIGHT)
    await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, MESSAGES - sent) }, one));
  client.close();
  expect([...outcomes.values()].reduce((sum, count) => sum + count, 0)).toBe(MESSAGES);
  // Refused as bad or unreadable; some are valid by chance. None is a hang (4) or unknown fault (2).
  expect(outcomes.get(3)).toBeGreaterThan(100);
  expect(outcomes.get(13)).toBeGreaterThan(100);
  expect(outcomes.get(2)).toBeUndefined();
  expect(outcomes.get(4)).toBeUndefined();
  expect(daemon.lines.filter(line => line.includes('incident'))).toEqual([]);
  daemon.channel.onEvent({ kind: 'closed', connection, reason: 'test' });
  daemon.channel.onEvent({ kind: 'exited', connection });
  expect(daemon.ledger.pool()).toMatchObject({ usedBytes: 0n, sessionCount: 0, cacheCount: 0 });
  expect(await faultsSoFar()).toEqual([]);
}, 60_000);

test('malformed messages on streams end their stream at most', async () => {
  const next = generator(2);
  for (let round = 0; round < 40; round += 1) {
    const { connection, token } = daemon.channel.hello();
    const client = new Client(`unix:${daemon.paths.service}`, credentials.createInsecure());
    const stream = client.makeBidiStreamRequest(
      memoryServiceDefinition().Exchange.path,
      raw,
      raw,
      withToken(token),
    );
    const over = new Promise(resolve => {
      stream.on('error', resolve);
      stream.on('end', resolve);
    });
    stream.on('data', () => undefined);
    for (let message = 0; message < 25; message += 1) stream.write(malformed(next));
    stream.end();
    await over;
    client.close();
    daemon.channel.onEvent({ kind: 'closed', connection, reason: 'test' });
    daemon.channel.onEvent({ kind: 'exited', connection });
  }
  expect(await faultsSoFar()).toEqual([]);
});

describe('garbage connections', () => {
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const kinds: Record<string, (next: () => number) => Buffer> = {
    noise: () => randomBytes(300),
    nothing: () => Buffer.alloc(0),
    'HTTP/1': () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    'a preface and noise': () => Buffer.concat([preface, randomBytes(300)]),
    'half a preface': next => preface.subarray(0, next() % preface.length),
    'a frame that promises more': () =>
      Buffer.concat([preface, Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])]),
  };

  test.each(Object.entries(kinds))(
    `${CONNECTIONS} of %s`,
    async (_, make) => {
      const next = generator(3);
      const one = (): Promise<void> =>
        new Promise(resolve => {
          const socket = connect(daemon.paths.service, () => {
            socket.write(make(next));
            setTimeout(() => socket.destroy(), next() % 20);
          });
          socket.on('error', () => undefined);
          socket.on('close', () => resolve());
        });
      for (let made = 0; made < CONNECTIONS; made += IN_FLIGHT)
        await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, CONNECTIONS - made) }, one));
      expect(await faultsSoFar()).toEqual([]);
    },
    60_000,
  );
});

/** One call over bare HTTP/2; its gRPC status. */
function request(headers: Record<string, string>, body: Buffer): Promise<string> {
  return new Promise(resolve => {
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(daemon.paths.service),
    });
    const stream = session.request({
      ':method': 'POST',
      ':path': '/kvspan.v1.MemoryService/Acquire',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let answer = '';
    const note = (got: object): void => {
      const status = (got as { readonly 'grpc-status'?: string })['grpc-status'];
      if (status !== undefined) answer = status;
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('data', () => undefined);
    stream.on('error', () => undefined);
    stream.on('close', () => {
      session.destroy();
      resolve(answer);
    });
    stream.end(body);
  });
}
const framed = (flag: number, length: number, body: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt8(flag, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, body]);
};

describe('calls that gRPC itself must refuse', () => {
  test.each<[string, Record<string, string>, Buffer, string]>([
    [
      'an unknown method',
      { ':path': '/kvspan.v1.MemoryService/Nothing' },
      framed(0, 0, Buffer.alloc(0)),
      '12',
    ],
    ['a message over the limit', {}, framed(0, 70_000, randomBytes(70_000)), '8'],
    ['a length of 4 GiB', {}, framed(0, 0xffffffff, randomBytes(100)), '8'],
    ['compressed noise', { 'grpc-encoding': 'gzip' }, framed(1, 50, randomBytes(50)), '13'],
    ['an unknown compression', { 'grpc-encoding': 'snail' }, framed(1, 5, randomBytes(5)), '12'],
    ['no message', {}, Buffer.alloc(0), '12'],
    [
      'a deadline that is no number',
      { 'grpc-timeout': 'soon' },
      framed(0, 0, Buffer.alloc(0)),
      '13',
    ],
  ])('%s', async (_, headers, body, status) => {
    expect(await request(headers, body)).toBe(status);
    expect(await faultsSoFar()).toEqual([]);
  });

  test('a token that is no base64 is just not a token', async () => {
    expect(
      await request({ 'kvspan-session-token-bin': '!!!' }, framed(0, 0, Buffer.alloc(0))),
    ).toBe('16');
  });

  test('reflection and health take malformed messages too', async () => {
    const client = new Client(`unix:${daemon.paths.service}`, credentials.createInsecure());
    for (const path of ['/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/List']) {
      await refusal(
        new Promise((resolve, reject) => {
          client.makeUnaryRequest(path, raw, raw, Buffer.from([0x0a, 0xff]), error =>
            error ? reject(error) : resolve(null),
          );
        }),
      );
    }
    const stream = client.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      raw,
      raw,
    );
    const over = new Promise(resolve => stream.on('error', resolve));
    stream.on('data', () => undefined);
    stream.write(Buffer.from([0x0a, 0xff]));
    await over;
    client.close();
    expect(await faultsSoFar()).toEqual([]);
  });
});

test('a stream of a session in the same second as its end is not a fault', async () => {
  const { memory } = daemon.clients;
  for (let round = 0; round < 50; round += 1) {
    const { connection, token } = daemon.channel.hello();
    const stream = TestStream.open(memory, token);
    for (let grant = 1; grant <= 5; grant += 1)
      stream.send({ acquire: { grantId: String(grant), orderCounts: [1], waitMs: 50 } });
    if (round % 2 === 0) await new Promise(resolve => setTimeout(resolve, round % 7));
    daemon.channel.onEvent({ kind: 'closed', connection, reason: 'test' });
    if (round % 3 === 0) stream.call.cancel();
    await stream.end();
    daemon.channel.onEvent({ kind: 'exited', connection });
  }
  expect(daemon.ledger.pool()).toMatchObject({ usedBytes: 0n, sessionCount: 0 });
  expect(daemon.lines).toEqual([]);
  expect(await faultsSoFar()).toEqual([]);
});

/** Field 1 or 2, packed: `count` elements of `bytes` each. */
function packed(field: number, count: number, bytes: Buffer): Buffer {
  const body = Buffer.alloc(count * bytes.length, bytes);
  const head = [(field << 3) | 2];
  for (let left = body.length; left > 0; left >>>= 7)
    head.push(left > 127 ? (left & 127) | 128 : left);
  return Buffer.concat([Buffer.from(head), body]);
}

describe('a message of the largest size that is taken by default', () => {
  const largest = configSchema.shape.messageBytesMax.parse(undefined);
  const id = Buffer.from([1, 1, 1, 1, 1, 1, 1, 1]);
  const idCount = Math.floor((largest - 16) / id.length);

  test('is small: whatever is in it, reading it holds up all others', () => {
    expect(largest).toBeLessThanOrEqual(256 * 1024);
    const { extentIds } = ReturnRequest.deserialize(packed(1, idCount, id));
    expect(extentIds).toHaveLength(idCount);
  });

  test('with a quarter of a million orders is refused for their number, none looked at', async () => {
    await daemon.stop();
    daemon = await scriptedDaemon({ logLevel: 'error' });
    const { token } = daemon.channel.hello();
    const client = new Client(`unix:${daemon.paths.service}`, credentials.createInsecure());
    const body = Buffer.concat([Buffer.from([8, 1]), packed(2, largest - 16, Buffer.from([1]))]);
    const error = await new Promise<ServiceError | null>(resolve => {
      const path = '/kvspan.v1.MemoryService/Acquire';
      client.makeUnaryRequest(path, raw, raw, body, withToken(token), failure => resolve(failure));
    });
    expect(error?.details).toBe(
      `order_counts: got "${largest - 16} entries", allowed: at most 10 entries`,
    );
    client.close();
  });
});
