/**
 * What a bench stands on: the device, a private daemon over it, and sessions of this process with
 * that daemon.
 */
import { connect, type ConnectOptions, type Session } from '../../client/typescript/index.js';
import { type DeviceDescription, type DeviceOptions, loadNative } from '../../native/index.js';
import { startDaemon } from '../demo/daemon.js';
import type { BenchOptions } from './options.js';

export interface Rig {
  readonly options: BenchOptions;
  readonly backend: 'host' | 'cuda';
  /** As it was before anything ran. */
  readonly device: DeviceDescription;
  readonly deviceOptions: DeviceOptions;
  readonly daemonPid: number;
  readonly socketDirectory: string;
  /** With the rig's own closing it is closed too, if nobody has before. */
  connect(name: string, options?: ConnectOptions): Promise<Session>;
  close(): Promise<void>;
}

/** What a bench may look at to choose its sizes, before there is a daemon. */
export interface Site {
  readonly options: BenchOptions;
  readonly backend: 'host' | 'cuda';
  readonly device: DeviceDescription;
  readonly deviceOptions: DeviceOptions;
}

/** Everything comes and goes by the bench's own calls: the magazine has no marks. */
export const UNMARKED = { lowWaterBytes: 0n, highWaterBytes: 0n } as const;

/**
 * The device of the backend asked for; `auto`: as the daemon chooses, which takes a GPU whose memory
 * is all in use for none.
 */
export function findSite(options: BenchOptions): Site {
  const site = (backend: 'host' | 'cuda'): Site => {
    const deviceOptions = { backend, ordinal: ordinalOf(backend), library: options.cudaLibrary };
    return { options, backend, device: describe(deviceOptions), deviceOptions };
  };
  if (options.backend !== 'auto') return site(options.backend);
  try {
    const gpu = site('cuda');
    if (gpu.device.freeBytes >= gpu.device.granularityBytes) return gpu;
  } catch {
    // No GPU that could be used.
  }
  return site('host');
}

/** The private daemon reads the same variable. */
const ordinalOf = (backend: 'host' | 'cuda'): number =>
  backend === 'cuda' ? Number(process.env['KVSPAN_ORDINAL'] ?? 0) : 0;

function describe(options: DeviceOptions): DeviceDescription {
  const device = loadNative().openDevice(options);
  try {
    return device.describe();
  } finally {
    device.close();
  }
}

/** Starts a private daemon with these arguments of `kvspan serve`. */
export async function openRig(site: Site, serveArguments: readonly string[]): Promise<Rig> {
  const { backend } = site;
  const { cudaLibrary } = site.options;
  const daemon = await startDaemon({ backend, cudaLibrary, serveArguments });
  const sessions: Session[] = [];
  return {
    ...site,
    daemonPid: daemon.pid as number,
    socketDirectory: daemon.socketDirectory,
    async connect(name, options = {}) {
      const { socketDirectory } = daemon;
      const session = await connect({ socketDirectory, name, cudaLibrary, ...options });
      sessions.push(session);
      return session;
    },
    async close() {
      await Promise.all(sessions.map(session => session.close()));
      await daemon.stop();
    },
  };
}
