/**
 * The form of every benchmark's result, and where it goes: `bench/results/<bench>-<device>.json`.
 * One run, one file; ratios are to be taken within a file, never between two.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { badField } from '../../proto/errors.js';

export const units = [
  'us',
  'ms',
  'MB',
  'GiB',
  'GB/s',
  'TFLOP/s',
  'count',
  'requests',
  'tokens',
  'tokens/s',
  'steps',
  'ratio',
  'share',
] as const;

export type Unit = (typeof units)[number];

export interface Row {
  /** What was measured, e.g. `step, 256 live slots`. */
  readonly case: string;
  /** Which way, or which statistic of it, e.g. `mapped ahead, p99` or `raw calls`. */
  readonly variant: string;
  readonly unit: Unit;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Repetitions behind the median. */
  readonly n: number;
}

export interface BenchResult {
  readonly bench: string;
  readonly device: string;
  readonly backend: string;
  readonly driver: string;
  readonly commit: string;
  readonly date: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    /** What ran it: Node; of benches in Python their Python and libraries. */
    readonly node?: string | undefined;
    readonly python?: string | undefined;
    readonly libraries?: Readonly<Record<string, string>> | undefined;
    /** Of the device, as found; null: not known. Absent in results of before. */
    readonly clocks?: string | null;
  };
  readonly rows: readonly Row[];
  /** What no figure says: how something was called, or why it was not measured. */
  readonly notes?: readonly Note[] | undefined;
  /** The bench's parts of which it has no figures: not asked for, failed, or never reached. */
  readonly absent?: readonly string[] | undefined;
}

export interface Note {
  readonly case: string;
  /** Of the case, which way; as the rows name it. */
  readonly way: string;
  readonly text: string;
}

/** `NVIDIA H100 80GB HBM3` -> `nvidia-h100-80gb-hbm3`: fit for a file name. */
export function slug(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
}

/** The commit the running code was built from: told by the bundle, else asked of git. */
export function commitOf(root: string): string {
  const told = process.env['KVSPAN_COMMIT'];
  if (told) return told;
  try {
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', root, ...args], { encoding: 'utf8' }).trim();
    const dirty = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '-dirty';
    return `${git('rev-parse', '--short=12', 'HEAD')}${dirty}`;
  } catch {
    return 'unknown';
  }
}

export function machine(): BenchResult['machine'] {
  const all = cpus();
  return { cpu: all[0]?.model.trim() ?? 'unknown', cores: all.length, node: process.versions.node };
}

/** Before a run: nobody wants to hear of a wrong path when it is over. */
export function makeResultDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
    accessSync(directory, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw badField(
      '--out',
      directory,
      `a directory that can be written (${code ?? String(error)})`,
    );
  }
}

/**
 * Writes the result and says where. One with parts absent has a file of its own, `...-partial.json`,
 * so that a complete one is never lost to it; a complete one ends it.
 */
export function writeResult(result: BenchResult, directory: string): string {
  const stem = join(directory, `${result.bench}-${slug(result.device)}`);
  const [whole, partial] = [`${stem}.json`, `${stem}-partial.json`];
  const path = isPartial(result) ? partial : whole;
  // Not in place: a run that is killed while it writes leaves what was there.
  writeFileSync(`${path}.new`, `${JSON.stringify(result, null, 2)}\n`);
  renameSync(`${path}.new`, path);
  if (path === whole) rmSync(partial, { force: true });
  return path;
}

export const isPartial = ({ absent = [] }: BenchResult): boolean => absent.length > 0;
