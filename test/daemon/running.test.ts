/** A real daemon: the host backend, both sockets, serving sessions of the real native core. */
import { lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { credentials, type GrpcObject, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { serve, type Overrides, type RunningDaemon } from '../../daemon/main.js';
import { StartupError } from '../../daemon/exit-codes.js';
import { loadNative } from '../../native/index.js';
import type { NativeSession, NativeSessionEvent } from '../../native/native.js';
import { until } from './session-calls.js';
import { loadStandardPackage } from '../../proto/load.js';
import {
  answerTo,
  call,
  clientsOf,
  PAGE,
  refusal,
  temporaryFolder,
  TestStream,
  withToken,
  type Clients,
} from './harness.js';

// Other work shares the machine: what is late is not yet wrong.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let folder: ReturnType<typeof temporaryFolder>;
let daemon: RunningDaemon | null = null;
let clients: Clients | null = null;
const sessions: NativeSession[] = [];

beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.close();
  clients?.close();
  await daemon?.stop();
  daemon = null;
  clients = null;
  folder.remove();
});

const flags = (more: Overrides = {}): Overrides => ({
  backend: 'host',
  socketDirectory: join(folder.path, 'run'),
  poolBytes: '64MiB',
  logLevel: 'error',
  shutdownTimeoutMs: 1000,
  ...more,
});

async function start(more: Overrides = {}): Promise<{ daemon: RunningDaemon; clients: Clients }> {
  daemon = await serve(flags(more), {});
  clients = clientsOf(daemon.info.sockets.service);
  return { daemon, clients };
}

async function connect(
  running: RunningDaemon,
  events: (event: NativeSessionEvent) => void = () => undefined,
) {
  const options = {
    device: { backend: 'host', ordinal: 0, library: null },
    lowWaterBytes: 0n,
    highWaterBytes: 1n << 40n,
  } as const;
  const native = loadNative().openSession(options, events);
  sessions.push(native);
  const welcome = await native.connect(running.info.sockets.extents, 'test', 5_000);
  return { native, welcome };
}

async function startupError(action: Promise<unknown>): Promise<StartupError> {
  try {
    await action;
  } catch (error) {
    if (error instanceof StartupError) return error;
    throw error;
  }
  throw new Error('it started');
}

const modeOf = (path: string): number => lstatSync(path).mode & 0o777;
const openFds = (): number => readdirSync('/proc/self/fd').length;

describe('start', () => {
  test('says what it serves, on sockets that only its user may use', async () => {
    const { daemon: running } = await start();
    expect(running.info).toMatchObject({
      version: '0.1.0',
      device: { backend: 'host' },
      limits: { poolBytes: 64n << 20n },
    });
    const { directory, service, extents } = running.info.sockets;
    expect([modeOf(directory), modeOf(service), modeOf(extents)]).toEqual([0o700, 0o600, 0o600]);
  });

  test('opens the sockets to a group when told, and to nobody else', async () => {
    const { daemon: running } = await start({ socketGroup: String(process.getgid?.() ?? 0) });
    const { directory, service, extents } = running.info.sockets;
    expect([modeOf(directory), modeOf(service), modeOf(extents)]).toEqual([0o750, 0o660, 0o660]);
  });

  test("a second daemon ends with the first's pid and its own exit code; the first goes on", async () => {
    const {
      clients: { memory },
    } = await start();
    const error = await startupError(serve(flags(), {}));
    expect(error.exitCode).toBe(3);
    expect(error.message).toContain(`pid ${process.pid}`);
    expect(await call(memory, 'getServerInfo', {})).toMatchObject({
      poolBytes: String(64n << 20n),
    });
  });

  test('what a dead daemon left is replaced', async () => {
    await start();
    await daemon?.stop();
    const paths = daemon?.info.sockets;
    if (paths === undefined) throw new Error('no sockets');
    for (const path of [paths.service, paths.extents]) await leaveSocket(path);
    writeFileSync(paths.lock, '999999\n');
    const {
      clients: { memory },
    } = await start();
    expect(await call(memory, 'getServerInfo', {})).toMatchObject({ version: '0.1.0' });
    expect(readFileSync(paths.lock, 'utf8').trim()).toBe(String(process.pid));
  });

  test.each<[string, Overrides, number]>([
    ['a pool larger than the device', { poolBytes: '8000000GiB' }, 6],
    [
      'a CUDA library that is not there',
      { backend: 'cuda', cudaLibrary: '/nowhere/libcuda.so' },
      5,
    ],
    ['a directory under a file', { socketDirectory: '/proc/version/x' }, 4],
    ['a bad value', { sessionsMax: 0 }, 2],
  ])(
    '%s is refused with its own exit code, and leaves nothing behind',
    async (_, more, exitCode) => {
      const fds = openFds();
      const error = await startupError(serve(flags(more), {}));
      expect(error.exitCode).toBe(exitCode);
      expect(error.message).not.toContain('\n');
      expect(openFds()).toBeLessThanOrEqual(fds + 2);
      await start();
    },
  );

  test('auto falls back to host and says why', async () => {
    const { daemon: running } = await start({
      backend: 'auto',
      cudaLibrary: '/nowhere/libcuda.so',
    });
    expect(running.info.device.backend).toBe('host');
    expect(running.info.fallbackReason).toMatch(/^cuda: .*libcuda/);
  });
});

/** A socket file with nobody behind it, as a killed daemon leaves one. */
async function leaveSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(`${path}.tmp`, resolve));
  const { renameSync } = await import('node:fs');
  renameSync(`${path}.tmp`, path);
  await new Promise(resolve => server.close(resolve));
}

describe('a session', () => {
  test('gets extents, holds them, gives them back; the daemon keeps no descriptor of them', async () => {
    const {
      daemon: running,
      clients: { memory, admin },
    } = await start();
    const granted: bigint[] = [];
    const { native, welcome } = await connect(running, event => {
      if (event.kind === 'granted') granted.push(event.grantId);
    });
    const metadata = withToken(welcome.token);
    const { grant } = await call(
      memory,
      'acquire',
      { grantId: '7', orderCounts: [4, 1] },
      metadata,
    );
    expect(grant).toMatchObject({ extentCount: 5, grantedBytes: String(6n * PAGE) });
    await until(() => granted.includes(7n));
    expect(native.stats().heldBytes).toBe(6n * PAGE);
    expect((await call(admin, 'getPool', {})).usedBytes).toBe(String(6n * PAGE));
    expect((await call(admin, 'listSessions', {})).sessions).toMatchObject([
      { pid: process.pid, name: 'test', extentCount: '5' },
    ]);
    const ids = [...native.held()].filter((_, index) => index % 2 === 0);
    await native.giveBack(1n << 40n);
    expect(await call(memory, 'return', { extentIds: ids.map(String) }, metadata)).toMatchObject({
      extentCount: 5,
      heldBytes: '0',
    });
    expect((await call(admin, 'getPool', {})).usedBytes).toBe('0');
  });

  test('of 1,000 extents costs the daemon no descriptor each', async () => {
    const {
      daemon: running,
      clients: { memory },
    } = await start({ poolBytes: '2GiB' });
    const { welcome } = await connect(running);
    const before = openFds();
    const { grant } = await call(
      memory,
      'acquire',
      { grantId: '1', orderCounts: [1000] },
      withToken(welcome.token),
    );
    expect(grant?.extentCount).toBe(1000);
    // Both ends are in this process: the client's imports are descriptors on the host backend.
    expect(openFds() - before).toBeLessThan(1000 + 50);
  });

  test('is over when its connection is, and what it held stays charged while its process lives', async () => {
    const {
      daemon: running,
      clients: { memory, admin },
    } = await start();
    const { native, welcome } = await connect(running);
    const stream = TestStream.open(memory, welcome.token);
    expect((await stream.next()).ready?.sessionId).toBe(String(welcome.sessionId));
    const id = stream.send({ acquire: { grantId: '1', orderCounts: [2] } });
    expect((await stream.next(answerTo(id))).grant).toMatchObject({ extentCount: 2 });
    native.disconnect();
    expect(await stream.end()).toMatchObject({ code: 'SESSION_UNKNOWN' });
    expect((await call(admin, 'getPool', {})).usedBytes).toBe(String(2n * PAGE));
  });

  test('one too many is refused with the limit', async () => {
    const { daemon: running } = await start({ sessionsMax: 1 });
    await connect(running);
    const error = await refusal(connect(running));
    expect(error).toMatchObject({ code: 'SESSION_LIMIT' });
  });
});

describe('stop', () => {
  test('tells the streams, refuses what waits, removes the sockets, and can be called twice', async () => {
    const {
      daemon: running,
      clients: { memory },
    } = await start();
    const { welcome } = await connect(running);
    const stream = TestStream.open(memory, welcome.token);
    await stream.next();
    const all = stream.send({ acquire: { grantId: '1', orderCounts: [32] } });
    expect((await stream.next(answerTo(all))).response).toBe('grant');
    const more = stream.send({ acquire: { grantId: '2', orderCounts: [1], waitMs: 30_000 } });
    const marker = stream.send({ cancel: { grantId: '99' } });
    await stream.next(answerTo(marker));
    const started = Date.now();
    const stopped = Promise.all([running.stop(), running.stop()]);
    expect(
      (await stream.next(message => message.response === 'draining')).draining?.deadlineMs,
    ).toBe(1000);
    expect((await stream.next(answerTo(more))).refusal?.code).toBe('DRAINING');
    expect(await stream.end()).toMatchObject({ code: 'DRAINING' });
    await stopped;
    expect(Date.now() - started).toBeLessThan(25_000);
    expect(readdirSync(running.info.sockets.directory)).toEqual(['lock']);
  });

  test('leaves no descriptor behind, over many starts', async () => {
    await start();
    clients?.close();
    await daemon?.stop();
    const before = openFds();
    for (let round = 0; round < 5; round += 1) {
      await start();
      clients?.close();
      await daemon?.stop();
    }
    expect(openFds()).toBeLessThanOrEqual(before + 1);
  });
});

function standard(path: string): Record<string, (...args: unknown[]) => unknown> {
  let node: unknown = loadStandardPackage();
  for (const name of path.split('.')) node = (node as GrpcObject)[name];
  const Client = node as new (
    address: string,
    channel: unknown,
  ) => Record<string, (...args: unknown[]) => unknown>;
  return new Client(`unix:${daemon?.info.sockets.service ?? ''}`, credentials.createInsecure());
}

describe('standard services', () => {
  test('health answers for the whole and for each service', async () => {
    await start();
    const health = standard('grpc.health.v1.Health');
    const check = (service: string) =>
      new Promise(resolve => {
        health['Check']?.({ service }, (error: ServiceError | null, answer: unknown) =>
          resolve(error?.code ?? answer),
        );
      });
    expect(await check('')).toEqual({ status: 'SERVING' });
    expect(await check('kvspan.v1.MemoryService')).toEqual({ status: 'SERVING' });
    expect(await check('nobody')).toBe(5);
    health['close']?.();
  });

  test('a watch sees the daemon drain', async () => {
    const { daemon: running } = await start();
    const health = standard('grpc.health.v1.Health');
    const seen: string[] = [];
    const watch = health['Watch']?.({ service: '' }) as NodeJS.ReadableStream;
    watch.on('data', (answer: { status: string }) => seen.push(answer.status));
    watch.on('error', () => undefined);
    await until(() => seen.length === 1);
    await running.stop();
    expect(seen).toEqual(['SERVING', 'NOT_SERVING']);
    health['close']?.();
  });

  test('reflection lists the services and describes a message by its wire names', async () => {
    await start();
    const client = standard('grpc.reflection.v1.ServerReflection');
    const stream = client['ServerReflectionInfo']?.() as NodeJS.ReadWriteStream & {
      write(message: object): boolean;
    };
    const answers: Record<
      string,
      { service?: { name: string }[]; fileDescriptorProto?: Uint8Array[] }
    >[] = [];
    stream.on('data', answer => answers.push(answer as (typeof answers)[0]));
    stream.write({ listServices: '*' });
    stream.write({ fileContainingSymbol: 'kvspan.v1.AcquireRequest' });
    stream.write({ fileContainingSymbol: 'no.such.Thing' });
    stream.write({});
    await until(() => answers.length === 4);
    expect(answers[0]?.['listServicesResponse']?.service?.map(each => each.name)).toEqual(
      expect.arrayContaining(['kvspan.v1.MemoryService', 'kvspan.v1.AdminService']),
    );
    expect(
      Buffer.concat(answers[1]?.['fileDescriptorResponse']?.fileDescriptorProto ?? []).toString(
        'latin1',
      ),
    ).toContain('minimum_bytes');
    expect(answers[2]?.['errorResponse']).toBeDefined();
    stream.end();
    client['close']?.();
  });
});
