/** What the boundary's tests share: a daemon's end and a client's end in one process, and children. */
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findBinary, loadNative } from '../../native/index.js';
import type {
  CacheOptions,
  CachePlan,
  ChannelServer,
  ChannelServerEvent,
  DeviceOptions,
  NativeCache,
  NativeDevice,
  NativeSession,
  NativeSessionEvent,
} from '../../native/index.js';

export const MIB = 1024n * 1024n;
export const PAGE = 2n * MIB;
export const hostDevice: DeviceOptions = { backend: 'host', ordinal: 0, library: null };

/** Token-major: rows of 4 KiB, slots of 16 MiB. */
export const plan: CachePlan = {
  wantedBase: 0n,
  totalBytes: 16n * 16n * MIB,
  laneCount: 1,
  rowBytes: 4096n,
  slotStrideBytes: 16n * MIB,
  laneStrideBytes: 16n * 16n * MIB,
  slotCount: 16,
  maxTokens: 4096,
};
export const cacheOptions: CacheOptions = {
  growth: 'geometric',
  lookaheadTokens: 16,
  overreadTokens: 0,
};

/** Events in order, and a way to wait for the next that fits. */
export class Log<E> {
  readonly events: E[] = [];
  #waiters: (() => void)[] = [];

  readonly add = (event: E): void => {
    this.events.push(event);
    for (const wake of this.#waiters.splice(0)) wake();
  };

  async until(fits: (event: E) => boolean): Promise<E> {
    for (;;) {
      const found = this.events.find(fits);
      if (found !== undefined) return found;
      await new Promise<void>(resolve => this.#waiters.push(resolve));
    }
  }
}

export interface World {
  readonly folder: string;
  readonly path: string;
  readonly device: NativeDevice;
  readonly server: ChannelServer;
  readonly serverLog: Log<ChannelServerEvent>;
  readonly session: NativeSession;
  readonly sessionLog: Log<NativeSessionEvent>;
  readonly connection: number;
  readonly cache: NativeCache;
  close(): Promise<void>;
}

/** Ids count from `first`; each extent one page. */
export function pages(count: number, first = 1): [BigUint64Array, BigUint64Array] {
  const ids = BigUint64Array.from({ length: count }, (_, i) => BigInt(first + i));
  return [ids, new BigUint64Array(count).fill(PAGE)];
}

/** Bytes to write and to find again, of rows of 64 bytes. */
export const rowsOf = (tokens: number, seed: number): Uint8Array =>
  Uint8Array.from({ length: tokens * 64 }, (_, i) => (i * 31 + seed) & 0x3f);

/** A request for attention over the rows of `rowsOf`, less the queries. */
export const heads = {
  dtype: 'fp32',
  queryHeads: 8,
  kvHeads: 1,
  headDim: 8,
  kOffset: 0,
  vOffset: 32,
  scale: 0.1,
} as const;

/** The argument of a step: the lengths of these slots, 0 for all others. */
export const lengthsOf = (...slots: [number, number][]): Int32Array => {
  const lengths = new Int32Array(plan.slotCount);
  for (const [slot, length] of slots) lengths[slot] = length;
  return lengths;
};

/** What it throws or rejects with; null if it does neither. */
export async function failure(run: () => unknown): Promise<unknown> {
  try {
    await run();
    return null;
  } catch (error) {
    return error;
  }
}

export async function openWorld(pageCount = 64): Promise<World> {
  const native = loadNative();
  const folder = mkdtempSync(join(tmpdir(), 'kvspan-boundary-'));
  const path = join(folder, 'extents.sock');
  const serverLog = new Log<ChannelServerEvent>();
  const sessionLog = new Log<NativeSessionEvent>();
  const device = native.openDevice(hostDevice);
  const server = native.listen(
    { device, path, mode: 0o600, connectionsMax: 8, helloTimeoutMs: 20_000 },
    event => {
      if (event.kind === 'hello')
        server.welcome(event.peer.connection, 7n, new Uint8Array(32).fill(9), '/service');
      serverLog.add(event);
    },
  );
  const session = native.openSession(
    { device: hostDevice, lowWaterBytes: 0n, highWaterBytes: 0n },
    sessionLog.add,
  );
  await session.connect(path, 'boundary', 20_000);
  const hello = await serverLog.until(event => event.kind === 'hello');
  const connection = hello.kind === 'hello' ? hello.peer.connection : 0;
  await server.grant(connection, 1n, ...pages(pageCount), 20_000);
  const cache = session.createCache(plan, cacheOptions);
  const close = async (): Promise<void> => {
    await session.close();
    server.close();
    device.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { folder, path, device, server, serverLog, session, sessionLog, connection, cache, close };
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

export interface Child {
  readonly process: ChildProcess;
  readonly messages: Log<Record<string, unknown>>;
  readonly finished: Promise<Finished>;
}

/** Longer than any child needs: one that hangs is killed, and its `signal` tells. */
const CHILD_MS_MAX = 100_000;

/** Runs children/`name`.mjs, which loads the binary by the path in KVSPAN_ADDON. */
export function runChild(
  name: string,
  args: readonly string[] = [],
  nodeArgs: readonly string[] = [],
): Child {
  const file = fileURLToPath(new URL(`children/${name}.mjs`, import.meta.url));
  const child = fork(file, [...args], {
    execArgv: [...nodeArgs],
    env: { ...process.env, KVSPAN_ADDON: findBinary() },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const messages = new Log<Record<string, unknown>>();
  child.on('message', message => messages.add(message as Record<string, unknown>));
  let output = '';
  child.stdout?.on('data', text => (output += String(text)));
  child.stderr?.on('data', text => (output += String(text)));
  const watchdog = setTimeout(() => child.kill('SIGKILL'), CHILD_MS_MAX);
  const finished = new Promise<Finished>(resolve => {
    child.on('close', (code, signal) => {
      clearTimeout(watchdog);
      resolve({ code, signal, output });
    });
  });
  return { process: child, messages, finished };
}
