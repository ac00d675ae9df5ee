/**
 * Daemons for tests, on the host backend, each in a private socket directory: within this process
 * (`startDaemon`), or as a process of their own that can be killed, stopped and started again on
 * the same directory (`spawnDaemon`).
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Overrides, serve } from '../../daemon/main.js';
import { childScript } from './children.js';

export const MIB = 1024n * 1024n;
export const PAGE = 2n * MIB;

export interface TestDaemon extends AsyncDisposable {
  readonly directory: string;
  stop(): Promise<void>;
}

/** Short, because a Unix socket's path has 107 bytes at most. */
export function privateDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'kvt-'));
}

function settings(directory: string, overrides: Overrides): Overrides {
  return {
    socketDirectory: directory,
    backend: 'host',
    poolBytes: '64MiB',
    logLevel: 'error',
    shutdownTimeoutMs: 200,
    webAddress: 'off',
    ...overrides,
  };
}

/** A daemon within this process. */
export async function startDaemon(overrides: Overrides = {}): Promise<TestDaemon> {
  const directory = privateDirectory();
  const daemon = await serve(settings(directory, overrides));
  const stop = async () => {
    await daemon.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  return { directory, stop, [Symbol.asyncDispose]: stop };
}

export interface SpawnedDaemon extends TestDaemon {
  readonly pid: number;
  /** Resolves when the process has gone. */
  kill(): Promise<void>;
  /** SIGSTOP: it answers nothing, and is not gone. */
  freeze(): void;
  thaw(): void;
  /** A new process on the same directory; the former must be gone. */
  restart(changed?: Overrides): Promise<void>;
  openFds(): number;
}

/** A daemon in a process of its own. */
export async function spawnDaemon(overrides: Overrides = {}): Promise<SpawnedDaemon> {
  const directory = privateDirectory();
  const config = (changed: Overrides = {}) =>
    JSON.stringify(settings(directory, { ...overrides, ...changed }));
  let child = await started(config());
  const kill = () => ended(child, 'SIGKILL');
  const stop = async () => {
    // A frozen process would never see that it is to end.
    if (child.exitCode === null) child.kill('SIGCONT');
    await ended(child, 'SIGTERM');
    rmSync(directory, { recursive: true, force: true });
  };
  return {
    directory,
    get pid() {
      return child.pid as number;
    },
    kill,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    restart: async changed => {
      child = await started(config(changed));
    },
    openFds: () => readdirSync(`/proc/${child.pid}/fd`).length,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function started(config: string): Promise<ChildProcess> {
  const child = fork(childScript('test/support/daemon-child'), [config], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    child.once('message', () => resolve(child));
    child.once('exit', (code, signal) =>
      reject(new Error(`the daemon ended at its start: ${code ?? signal}`)),
    );
  });
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise(resolve => {
    child.once('exit', () => resolve());
    child.kill(signal);
  });
}
