/** The way in. */
import { KvspanError } from '../../proto/errors.js';
import { defaultCudaLibrary, defaultSocketDirectory } from '../../proto/paths.js';
import { findDaemon } from './establish.js';
import {
  type Memory,
  type MemoryEvents,
  type MemoryOptions,
  openMemory,
} from './mapping/memory.js';
import type { ServerInfo } from './service.js';
import { ClientSession } from './session.js';
import type { ConnectOptions, Session } from './types.js';
import * as validate from './validate.js';

export const GRANT_WAIT_MS_DEFAULT = 1_000;
export const CONNECT_TIMEOUT_MS_DEFAULT = 5_000;
/** The magazine is kept at 1/64 of what the session may hold, but not above this. */
const LOW_WATER_MAX_BYTES = 64n * 1024n * 1024n;
const LOW_WATER_SHARE = 64n;
/** What is above four times the low mark is more than the mapper will soon map. */
const HIGH_WATER_FACTOR = 4n;

/**
 * Connects to the daemon of this machine, opens its device in this process and makes a session.
 * DAEMON_UNAVAILABLE (nobody answers), PERMISSION_DENIED, TENANT_UNKNOWN (the daemon has tenants, and
 * this process belongs to none), SESSION_LIMIT, SESSION_EVICTED (an administrator has put this process
 * out), DEVICE_UNAVAILABLE (the daemon's device is not to be had in this process), INVALID_ARGUMENT.
 */
export async function connect(options: ConnectOptions = {}): Promise<Session> {
  validate.object('options', options);
  const timeoutMs = validate.waitMs(
    options.connectTimeoutMs,
    CONNECT_TIMEOUT_MS_DEFAULT,
    'connectTimeoutMs',
  );
  const settings = {
    socketDirectory: validate.path(
      'socketDirectory',
      options.socketDirectory ?? defaultSocketDirectory(),
    ),
    name: validate.name('name', options.name ?? `pid ${process.pid}`, 1),
    timeoutMs: Math.max(1, timeoutMs),
    grantWaitMs: validate.waitMs(options.grantWaitMs, GRANT_WAIT_MS_DEFAULT, 'grantWaitMs'),
    reconnect: validate.flag('reconnect', options.reconnect ?? true),
    onReclaim:
      options.onReclaim === undefined ? null : validate.callback('onReclaim', options.onReclaim),
  };
  const ordinal =
    options.ordinal === undefined ? null : validate.count('ordinal', options.ordinal, 0);
  const checkedMarks = [options.lowWaterBytes, options.highWaterBytes].map((mark, index) =>
    mark === undefined
      ? null
      : validate.bytes(index === 0 ? 'lowWaterBytes' : 'highWaterBytes', mark),
  );
  const daemon = await findDaemon(settings);
  const { server } = daemon;
  const lowWaterBytes = checkedMarks[0] ?? lowWaterDefault(server);
  const highWaterBytes = checkedMarks[1] ?? lowWaterBytes * HIGH_WATER_FACTOR;
  const memory = {
    backend: server.backend,
    ordinal: ordinal ?? server.device.ordinal,
    cudaLibrary: options.cudaLibrary === undefined ? defaultCudaLibrary() : options.cudaLibrary,
    lowWaterBytes,
    highWaterBytes,
  };
  try {
    const session = new ClientSession(settings, server, events =>
      openTheSame(server, memory, events),
    );
    await session.begin(daemon);
    return session;
  } catch (error) {
    daemon.service.close();
    throw error;
  }
}

/**
 * The daemon's device in this process. CUDA_VISIBLE_DEVICES numbers GPUs anew for each process, and
 * memory of one GPU mapped for another would be found out only by a kernel that faults.
 */
function openTheSame(server: ServerInfo, options: MemoryOptions, events: MemoryEvents): Memory {
  const memory = openMemory(options, events);
  const { uuid, name } = memory.device;
  if (uuid === server.device.uuid) return memory;
  // It has nothing yet, and nobody knows it: there is nothing to wait for.
  void memory.close().catch(() => undefined);
  throw new KvspanError(
    'DEVICE_UNAVAILABLE',
    `ordinal ${options.ordinal} is ${name} ${uuid} in this process, but the daemon serves ` +
      `${server.device.name} ${server.device.uuid}: set \`ordinal\`, or CUDA_VISIBLE_DEVICES`,
  );
}

function lowWaterDefault(server: ServerInfo): bigint {
  const share = server.sessionLimitBytes / LOW_WATER_SHARE;
  const pages = (share < LOW_WATER_MAX_BYTES ? share : LOW_WATER_MAX_BYTES) / server.pageBytes;
  return (pages > 0n ? pages : 1n) * server.pageBytes;
}
