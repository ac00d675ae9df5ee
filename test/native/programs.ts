/**
 * Runs the native test programs for vitest: each case in a process of its own, so that a fault ends
 * one case, and each a test here, so that it is counted.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = new URL('../..', import.meta.url).pathname;
const SKIPPED = 77;
const CASE_TIMEOUT_MS = 240_000;

/** Where each kind of build lies; `npm test` makes them. */
const builds = {
  plain: 'build/native',
  address: 'build/native-address',
  thread: 'build/native-thread',
} as const;

export type Build = keyof typeof builds;

/** Sanitizers report and fail; address space that a test takes on purpose is not a leak. */
const sanitizerEnv: Record<Build, NodeJS.ProcessEnv> = {
  plain: {},
  address: {
    ASAN_OPTIONS: 'abort_on_error=0:exitcode=99:detect_leaks=1',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1:exitcode=98',
  },
  thread: { TSAN_OPTIONS: 'halt_on_error=1:exitcode=97:second_deadlock_stack=1' },
};

export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

function launch(build: Build, program: string, args: readonly string[]): Promise<Outcome> {
  const path = join(root, builds[build], program);
  const child = spawn(path, args, { env: { ...process.env, ...sanitizerEnv[build] } });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ status, signal, output }));
  });
}

/** Registers every case of a program as a test. `skipAll`: why none of them can run here. */
export function programSuite(
  build: Build,
  program: string,
  args: readonly string[] = [],
  skipAll: string | null = null,
): void {
  const path = join(root, builds[build], program);
  if (!existsSync(path))
    throw new Error(`${path} is not built: run npm test, or npm run build first`);
  const listing = execFileSync(path, [...args, '--list'], { encoding: 'utf8' });
  const cases = listing.split('\n').filter(line => line !== '');
  if (cases.length === 0) throw new Error(`${path} lists no cases`);
  it.for(cases)('%s', { timeout: CASE_TIMEOUT_MS }, async (name, { skip }) => {
    if (skipAll !== null) skip(skipAll);
    const { status, signal, output } = await launch(build, program, [...args, '--run', name]);
    if (status === SKIPPED) skip(output.trim());
    expect(status, `${signal ?? `status ${status}`}\n${output}`).toBe(0);
  });
}

/** The stand-in driver of a build. */
export const standIn = (build: Build): string => join(root, builds[build], 'standin/libcuda.so.1');

/** Null if this machine has a GPU with a driver; otherwise why the real device is not tested. */
export function whyNoGpu(): string | null {
  return existsSync('/dev/nvidiactl') ? null : 'no GPU';
}
