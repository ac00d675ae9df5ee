/** What the daemon's tests share: temporary folders, calls as promises, a daemon over a scripted channel. */
import { noObserver } from '../../daemon/ports/observer.js';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, Metadata, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { loadConfig, type Overrides } from '../../daemon/config/load.js';
import { limitsOf } from '../../daemon/config/limits.js';
import { createLedger, type Ledger } from '../../daemon/core/ledger.js';
import { bytes, type Limits } from '../../daemon/core/types.js';
import { systemClock } from '../../daemon/ports/clock.js';
import type {
  ChannelEvent,
  DeviceDescription,
  ExtentChannel,
  GrantOutcome,
  UsageMeter,
} from '../../daemon/ports/device.js';
import { systemRandom } from '../../daemon/ports/tokens.js';
import { DaemonServices } from '../../daemon/service/daemon-services.js';
import { createLogger } from '../../daemon/telemetry/log.js';
import { bindGrpcServer, createGrpcServer } from '../../daemon/transport/grpc-server.js';
import {
  accessFor,
  socketPaths,
  type SocketPaths,
} from '../../daemon/transport/socket-directory.js';
import { KvspanError } from '../../proto/errors.js';
import type { AdminServiceClient } from '../../proto/generated/kvspan/v1/AdminService.js';
import type { ExchangeRequest } from '../../proto/generated/kvspan/v1/ExchangeRequest.js';
import type { ExchangeResponse__Output } from '../../proto/generated/kvspan/v1/ExchangeResponse.js';
import type { MemoryServiceClient } from '../../proto/generated/kvspan/v1/MemoryService.js';
import { loadPackage } from '../../proto/load.js';
import { errorOfCall, TOKEN_METADATA_KEY } from '../../proto/refusal.js';

export const PAGE = 2n * 2n ** 20n;

export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'kvspan-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export function withToken(token: Uint8Array): Metadata {
  const metadata = new Metadata();
  metadata.set(TOKEN_METADATA_KEY, Buffer.from(token));
  return metadata;
}

/** Of a client's method: what it takes and what it answers with. */
type UnaryOf<Method> = Method extends (
  request: infer Request,
  callback: (error: ServiceError | null, response?: infer Response) => void,
) => unknown
  ? { readonly request: Request; readonly response: Response }
  : never;
type FullUnary = (
  this: object,
  request: unknown,
  metadata: Metadata,
  options: { deadline: number },
  callback: (error: ServiceError | null, response?: unknown) => void,
) => unknown;

/** One unary call; rejects with the KvspanError that the daemon sent. */
export function call<Client extends object, Name extends keyof Client>(
  client: Client,
  method: Name,
  request: UnaryOf<Client[Name]>['request'],
  metadata = new Metadata(),
  timeoutMs = 60_000,
): Promise<UnaryOf<Client[Name]>['response']> {
  return new Promise((resolve, reject) => {
    const full = client[method] as unknown as FullUnary;
    full.call(
      client,
      request,
      metadata,
      { deadline: Date.now() + timeoutMs },
      (error, response) => {
        if (error) reject(errorOfCall(error));
        else resolve(response);
      },
    );
  });
}

/** The KvspanError that a promise is refused with. */
export async function refusal(promise: Promise<unknown>): Promise<KvspanError> {
  try {
    await promise;
  } catch (error) {
    return error as KvspanError;
  }
  throw new Error('was not refused');
}

export interface Clients {
  readonly memory: MemoryServiceClient;
  readonly admin: AdminServiceClient;
  close(): void;
}

export function clientsOf(socket: string): Clients {
  const { MemoryService, AdminService } = loadPackage();
  const options = { 'grpc.use_local_subchannel_pool': 1 };
  const memory = new MemoryService(`unix:${socket}`, credentials.createInsecure(), options);
  const admin = new AdminService(`unix:${socket}`, credentials.createInsecure(), options);
  return {
    memory,
    admin,
    close() {
      memory.close();
      admin.close();
    },
  };
}

/** A stream whose messages can be awaited one by one. */
export class TestStream {
  private readonly messages: ExchangeResponse__Output[] = [];
  private readonly wanted: (() => void)[] = [];
  private nextRequest = 1;
  ended: KvspanError | 'ok' | null = null;

  constructor(readonly call: ClientDuplexStream<ExchangeRequest, ExchangeResponse__Output>) {
    call.on('data', (message: ExchangeResponse__Output) => {
      this.messages.push(message);
      this.wake();
    });
    call.on('error', (error: ServiceError) => {
      this.ended = errorOfCall(error);
      this.wake();
    });
    call.on('end', () => {
      this.ended ??= 'ok';
      this.wake();
    });
  }

  static open(memory: MemoryServiceClient, token: Uint8Array): TestStream {
    return new TestStream(memory.exchange(withToken(token)));
  }

  send(request: Omit<ExchangeRequest, 'requestId'>): string {
    const requestId = String(this.nextRequest++);
    this.call.write({ requestId, ...request });
    return requestId;
  }

  /** The next message that fits, leaving the others. */
  async next(
    fits: (message: ExchangeResponse__Output) => boolean = () => true,
    timeoutMs = 60_000,
  ): Promise<ExchangeResponse__Output> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const index = this.messages.findIndex(fits);
      if (index >= 0) return this.messages.splice(index, 1)[0] as ExchangeResponse__Output;
      if (this.ended !== null) throw new Error(`the stream has ended: ${String(this.ended)}`);
      await this.wait(deadline - Date.now());
    }
  }

  async end(timeoutMs = 60_000): Promise<KvspanError | 'ok'> {
    const deadline = Date.now() + timeoutMs;
    while (this.ended === null) await this.wait(deadline - Date.now());
    return this.ended;
  }

  private wait(ms: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no message came in time')), Math.max(0, ms));
      this.wanted.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  private wake(): void {
    for (const wanted of this.wanted.splice(0)) wanted();
  }
}

export const answerTo =
  (id: string) =>
  (message: ExchangeResponse__Output): boolean =>
    message.requestId === id;

/**
 * An extent channel whose clients and outcomes the test decides. It opens the windows that the real
 * one closes in microseconds: between a grant's being sent and its being acknowledged, and what
 * happens when only a part of it arrives.
 */
export class ScriptedChannel implements ExtentChannel {
  onEvent: (event: ChannelEvent) => void = () => undefined;
  readonly refusals: { connection: number; code: string; message: string }[] = [];
  readonly tokens = new Map<number, Uint8Array>();
  /** Grants on their way, when `hold` is set. */
  readonly held: { grantId: bigint; count: number; settle(outcome: GrantOutcome): void }[] = [];
  /** Ids of all extents that were to be sent. */
  readonly sent: bigint[] = [];
  /** Connections whose process need not be waited for. */
  readonly forgotten: number[] = [];
  readonly killed: number[] = [];
  unkillable = false;
  hold = false;
  private lastConnection = 0;

  /** A client says hello; its token. Throws if it was refused. */
  hello(pid = process.pid): { readonly connection: number; readonly token: Uint8Array } {
    const connection = ++this.lastConnection;
    this.onEvent({
      kind: 'hello',
      peer: { connection, pid, uid: 1000, gid: 1000, name: `client ${connection}` },
    });
    const token = this.tokens.get(connection);
    if (token === undefined) throw new Error(`refused: ${JSON.stringify(this.refusals.at(-1))}`);
    return { connection, token };
  }

  welcome(connection: number, _sessionId: bigint, token: Uint8Array): void {
    this.tokens.set(connection, Uint8Array.from(token));
  }

  refuse(connection: number, code: string, message: string): void {
    this.refusals.push({ connection, code, message });
  }

  grant(_connection: number, grantId: bigint, extentIds: BigUint64Array): Promise<GrantOutcome> {
    this.sent.push(...extentIds);
    if (!this.hold) return Promise.resolve({ importedCount: extentIds.length, failure: null });
    return new Promise(settle => this.held.push({ grantId, count: extentIds.length, settle }));
  }

  disconnect(connection: number): void {
    this.onEvent({ kind: 'closed', connection, reason: 'disconnected' });
  }

  kill(connection: number): void {
    if (this.unkillable) throw new KvspanError('PERMISSION_DENIED', 'scripted: may not');
    this.killed.push(connection);
  }

  forget(connection: number): void {
    this.forgotten.push(connection);
  }

  close(): void {
    for (const grant of this.held.splice(0)) grant.settle({ importedCount: 0, failure: null });
  }
}

export interface ScriptedDaemon {
  readonly channel: ScriptedChannel;
  readonly ledger: Ledger;
  readonly limits: Limits;
  readonly paths: SocketPaths;
  readonly services: DaemonServices;
  readonly clients: Clients;
  /** On the socket that is the daemon's user's alone. */
  readonly operator: AdminServiceClient;
  /** The log's lines. */
  readonly lines: string[];
  stop(): Promise<void>;
}

const hostDevice: DeviceDescription = {
  backend: 'host',
  ordinal: 0,
  name: 'scripted',
  uuid: '',
  driver: '',
  granularityBytes: PAGE,
  totalBytes: 1n << 40n,
  freeBytes: 1n << 40n,
};

/** The daemon's real services, ledger and gRPC server over a scripted channel. */
export async function scriptedDaemon(
  overrides: Overrides = {},
  poolPages = 64n,
  meter: UsageMeter | null = null,
): Promise<ScriptedDaemon> {
  const folder = temporaryFolder();
  const config = loadConfig({ logLevel: 'trace', socketDirectory: folder.path, ...overrides }, {});
  const paths = socketPaths(folder.path);
  const pool = bytes(poolPages * PAGE);
  const limits = limitsOf(config, pool, pool);
  const ledger = createLedger(limits, { epoch: systemRandom.epoch() });
  const lines: string[] = [];
  const log = createLogger(config, { write: line => void lines.push(line) });
  const server = createGrpcServer(config);
  const adminServer = createGrpcServer(config);
  const parts = {
    ledger,
    config,
    limits,
    device: hostDevice,
    meter,
    clock: systemClock,
    random: systemRandom,
    log,
    observer: noObserver,
    paths,
    version: '0',
  };
  const services = new DaemonServices(parts, server, adminServer);
  const channel = new ScriptedChannel();
  channel.onEvent = event => services.onChannelEvent(event);
  services.attach(channel);
  await bindGrpcServer(server, paths.service, accessFor(null), {
    lockFile: () => null,
    setUmask: mask => process.umask(mask),
  });
  await bindGrpcServer(adminServer, paths.admin, accessFor(null), {
    lockFile: () => null,
    setUmask: mask => process.umask(mask),
  });
  const clients = clientsOf(paths.service);
  const operator = clientsOf(paths.admin);
  const stop = async (): Promise<void> => {
    clients.close();
    channel.close();
    services.endStreams();
    services.stop();
    operator.close();
    server.forceShutdown();
    adminServer.forceShutdown();
    ledger.check();
    folder.remove();
    await Promise.resolve();
  };
  return {
    channel,
    ledger,
    limits,
    paths,
    services,
    clients,
    operator: operator.admin,
    lines,
    stop,
  };
}
