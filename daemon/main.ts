/** The daemon's life: from a configuration to a running daemon, and back. */
import { unlinkSync } from 'node:fs';
import { version } from '../proto/version.js';
import { loadConfig, type Overrides } from './config/load.js';
import { limitsOf } from './config/limits.js';
import type { Config } from './config/schema.js';
import { createLedger } from './core/ledger.js';
import type { Limits } from './core/types.js';
import { loadCore, openDevice } from './device/open.js';
import { poolSize, sessionLimit } from './device/pool-size.js';
import { StartupError } from './exit-codes.js';
import { systemClock } from './ports/clock.js';
import type { DeviceDescription } from './ports/device.js';
import { systemRandom } from './ports/tokens.js';
import { DaemonServices } from './service/daemon-services.js';
import { Metrics } from './telemetry/metrics.js';
import { createLogger, type Logger } from './telemetry/log.js';
import {
  bindGrpcServer,
  createGrpcServer,
  openToGroup,
  stopGrpcServer,
} from './transport/grpc-server.js';
import { lockDirectory, removeStaleSockets } from './transport/lock.js';
import {
  accessFor,
  prepareSocketDirectory,
  socketPaths,
  type SocketPaths,
} from './transport/socket-directory.js';
import { startWeb } from './web/start.js';

export { optionList, type OptionHelp } from './config/schema.js';
export type { Overrides } from './config/load.js';
export { showBytes } from '../proto/size.js';
export { ExitCode, StartupError, type ExitReason } from './exit-codes.js';
export { runUntilSignal } from './run-until-signal.js';

/** Calls still open after the drain get this long to see their end. */
const LAST_CALLS_MS_MAX = 500;
/** Connections beyond the sessions: so that one session too many is told so, not just cut off. */
const CONNECTIONS_SPARE = 64;

/** What a daemon says of itself when it has started. */
export interface DaemonInfo {
  readonly version: string;
  readonly pid: number;
  readonly device: DeviceDescription;
  /** Why `auto` did not take the GPU; null if it did, or was not asked. */
  readonly fallbackReason: string | null;
  readonly sockets: SocketPaths;
  /** Null: off. */
  readonly web: { readonly address: string; readonly pageUrl: string | null } | null;
  readonly limits: Limits;
  readonly config: Config;
}

export interface RunningDaemon {
  readonly info: DaemonInfo;
  readonly log: Logger;
  /** Drains, ends what is left at the deadline, removes the sockets. A second call waits for the first. */
  stop(): Promise<void>;
}

/** What was done and must be undone, in the opposite order. */
class Undo {
  private readonly steps: (() => void | Promise<void>)[] = [];

  constructor(private readonly log: Logger) {}

  add(step: () => void | Promise<void>): void {
    this.steps.push(step);
  }

  /** A step that fails is logged and does not keep the others from being done. */
  async all(): Promise<void> {
    for (let step = this.steps.pop(); step !== undefined; step = this.steps.pop()) {
      try {
        await step();
      } catch (error) {
        this.log.error({ err: error }, 'a step of the shutdown failed');
      }
    }
  }
}

/**
 * Starts a daemon. `overrides` are the command line's flags by key. Throws a StartupError that says
 * why in one line; nothing is left behind then.
 */
export async function serve(
  overrides: Overrides = {},
  env: NodeJS.ProcessEnv = process.env,
): Promise<RunningDaemon> {
  const config = loadConfig(overrides, env);
  const log = createLogger(config);
  const undo = new Undo(log);
  try {
    return await start(config, log, undo);
  } catch (error) {
    await undo.all();
    if (error instanceof StartupError) throw error;
    throw new StartupError(
      'internal',
      error instanceof Error ? error.message : String(error),
      'see the cause',
      error,
    );
  }
}

async function start(config: Config, log: Logger, undo: Undo): Promise<RunningDaemon> {
  const paths = socketPaths(config.socketDirectory);
  const access = accessFor(config.socketGroup);
  const core = loadCore();
  prepareSocketDirectory(paths.directory, access);
  // The lock comes before the device: a second daemon never touches the GPU.
  const lock = lockDirectory(core, paths);
  undo.add(() => lock.release());
  removeStaleSockets(paths);
  const { device, description, meter, fallbackReason } = openDevice(core, config);
  undo.add(() => device.close());
  const pool = poolSize(config.poolBytes, description);
  const limits = limitsOf(config, pool, sessionLimit(config.sessionLimitBytes, pool));

  const server = createGrpcServer(config);
  const adminServer = createGrpcServer(config);
  const ledger = createLedger(limits, { epoch: systemRandom.epoch() });
  const metrics = new Metrics({ ledger, device: description, version });
  const services = new DaemonServices(
    {
      ledger,
      config,
      limits,
      device: description,
      meter,
      clock: systemClock,
      random: systemRandom,
      log,
      observer: metrics,
      paths,
      version,
    },
    server,
    adminServer,
  );
  undo.add(() => services.stop());
  // Before it is bound: a socket that could not be opened to its group is bound already, and a server
  // that nobody stops keeps the process from ending.
  undo.add(() => unlinkIfThere(paths.service));
  undo.add(() => stopGrpcServer(server, Math.min(LAST_CALLS_MS_MAX, config.shutdownTimeoutMs)));
  await bindGrpcServer(server, paths.service, access, core);
  undo.add(() => unlinkIfThere(paths.admin));
  undo.add(() => adminServer.forceShutdown());
  await bindGrpcServer(adminServer, paths.admin, accessFor(null), core);
  const web = await startWeb({ config, paths, ledger, device: description, metrics, log });
  undo.add(() => web?.close());
  // Last: a session begins here, and finds everything else ready.
  const options = {
    path: paths.extents,
    mode: 0o600,
    connectionsMax: config.sessionsMax + CONNECTIONS_SPARE,
    helloTimeoutMs: config.helloTimeoutMs,
  };
  const channel = device.listen(options, event => services.onChannelEvent(event));
  services.attach(channel);
  undo.add(() => {
    channel.close();
    unlinkIfThere(paths.extents);
  });
  openToGroup(paths.extents, access);

  const info: DaemonInfo = {
    version,
    pid: process.pid,
    device: description,
    fallbackReason,
    sockets: paths,
    web,
    limits,
    config,
  };
  logStart(log, info);
  return { info, log, stop: once(() => shutDown(services, config, log, undo)) };
}

function logStart(log: Logger, { device, fallbackReason, limits, sockets }: DaemonInfo): void {
  const main = log.child({ component: 'main' });
  if (fallbackReason !== null)
    main.info({ backend: device.backend, reason: fallbackReason }, 'no GPU is used');
  main.info(
    {
      backend: device.backend,
      device: device.name,
      bytes: limits.poolBytes,
      path: sockets.directory,
    },
    'serving',
  );
}

async function shutDown(
  services: DaemonServices,
  config: Config,
  log: Logger,
  undo: Undo,
): Promise<void> {
  log.info({ component: 'main', ms: config.shutdownTimeoutMs }, 'draining');
  await services.drain(config.shutdownTimeoutMs);
  services.endStreams();
  await undo.all();
  log.info({ component: 'main' }, 'stopped');
}

function once(action: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  return () => (running ??= action());
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
