/** The daemon that a run uses: the one that answers, or a private one for this run alone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { badField, KvspanError } from '../../proto/errors.js';
import { defaultSocketDirectory, EXTENT_SOCKET } from '../../proto/paths.js';
import { probe } from './admin.js';

export interface DemoDaemon {
  readonly socketDirectory: string;
  /** The private daemon's process; null: it was there before. */
  readonly pid: number | null;
  stop(): Promise<void>;
}

const START_MS = 20_000;
const STOP_MS = 10_000;
const POLL_MS = 50;
/** Kept of what a daemon says, to show it if it does not start. */
const OUTPUT_CHARACTERS = 4000;

/**
 * The command line of the same build: beside this file's tree, or in the build of a checkout.
 * `KVSPAN_CLI` names another.
 */
const CLI_CANDIDATES = ['../../client/cli/main.js', '../../build/ts/client/cli/main.js'];

const pathOf = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export interface DaemonOptions {
  readonly socketDirectory: string | null;
  readonly backend: 'auto' | 'host' | 'cuda';
  /** Path of libcuda for a private daemon; absent or null: its own default. */
  readonly cudaLibrary?: string | null;
  /** Further arguments of a private daemon. */
  readonly serveArguments: readonly string[];
}

/**
 * A daemon at the socket directory given (or, if none is, at the default one), else a private
 * one. Throws DAEMON_UNAVAILABLE: a directory was given and nobody answers there.
 */
export async function findDaemon(options: DaemonOptions): Promise<DemoDaemon> {
  const directory = options.socketDirectory ?? defaultSocketDirectory();
  const pool = await probe(directory);
  if (pool !== null) {
    if (options.backend === 'auto' || options.backend === pool.backend) {
      return { socketDirectory: directory, pid: null, stop: async () => {} };
    }
    if (options.socketDirectory !== null) {
      throw badField(
        'backend',
        options.backend,
        `${pool.backend}: what the daemon at ${directory} serves`,
      );
    }
  } else if (options.socketDirectory !== null) {
    throw new KvspanError(
      'DAEMON_UNAVAILABLE',
      `no daemon answers at ${directory}; start one with: kvspan serve`,
    );
  }
  return startDaemon(options);
}

/** The file that Node runs for `kvspan ...`. Throws DAEMON_UNAVAILABLE: there is none. */
export function commandLine(): string {
  const cli = process.env['KVSPAN_CLI'] ?? CLI_CANDIDATES.map(pathOf).find(existsSync);
  if (cli !== undefined) return cli;
  throw new KvspanError('DAEMON_UNAVAILABLE', 'the command line is not built: npm run build');
}

export async function startDaemon(
  options: Omit<DaemonOptions, 'socketDirectory'>,
): Promise<DemoDaemon> {
  const cli = commandLine();
  const socketDirectory = await mkdtemp(join(tmpdir(), 'kvspan-demo-'));
  const args = [cli, 'serve', '--socket-directory', socketDirectory, '--backend', options.backend];
  // Nobody looks at a daemon of one process.
  args.push('--until-stdin-ends', '--web-address', 'off');
  if (options.cudaLibrary) args.push('--cuda-library', options.cudaLibrary);
  const child = spawn(process.execPath, [...args, ...options.serveArguments], {
    // Its input ends with this process, however that ends.
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const output = keepOutput(child);
  const forget = endWithThisProcess(child, socketDirectory);
  const stop = async (): Promise<void> => {
    await stopChild(child);
    forget();
    await rm(socketDirectory, { recursive: true, force: true });
  };
  try {
    await waitUntilServing(child, socketDirectory, output);
  } catch (error) {
    await stop();
    throw error;
  }
  return { socketDirectory, pid: child.pid as number, stop };
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * However this process ends, short of SIGKILL, nothing of the daemon stays; after a SIGKILL a
 * directory with a lock file does. Returns what undoes it.
 */
function endWithThisProcess(child: ChildProcess, socketDirectory: string): () => void {
  const clear = (): void => {
    child.kill('SIGKILL');
    rmSync(socketDirectory, { recursive: true, force: true });
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    clear();
    forget();
    // To its end, which this handler has held up.
    process.kill(process.pid, signal);
  };
  const forget = (): void => {
    process.removeListener('exit', clear);
    for (const signal of SIGNALS) process.removeListener(signal, onSignal);
  };
  process.once('exit', clear);
  for (const signal of SIGNALS) process.once(signal, onSignal);
  return forget;
}

function keepOutput(child: ChildProcess): () => string {
  let text = '';
  const keep = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-OUTPUT_CHARACTERS);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return () => text.trim();
}

async function waitUntilServing(
  child: ChildProcess,
  directory: string,
  output: () => string,
): Promise<void> {
  const until = Date.now() + START_MS;
  while (Date.now() < until && !hasEnded(child)) {
    // Without the socket a probe would only make a client wait before it tries again.
    if (existsSync(join(directory, EXTENT_SOCKET)) && (await probe(directory)) !== null) return;
    await sleep(POLL_MS);
  }
  const what = hasEnded(child)
    ? `ended with status ${child.exitCode}`
    : `did not answer for ${START_MS} ms`;
  throw new KvspanError('DAEMON_UNAVAILABLE', `the private daemon ${what}; it said:\n${output()}`);
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = new Promise(resolve => child.once('close', resolve));
  child.kill('SIGTERM');
  const inTime = await Promise.race([
    ended.then(() => true),
    sleep(STOP_MS, false, { ref: false }),
  ]);
  if (!inTime) {
    child.kill('SIGKILL');
    await ended;
  }
}

const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null;
