/** What every bench can be told, and the parsing of it. */
import { badField } from '../../proto/errors.js';
import { defaultCudaLibrary } from '../../proto/paths.js';

export interface BenchOptions {
  readonly backend: 'auto' | 'host' | 'cuda';
  /** Path of libcuda, in this process and in the daemon; null: the system's. */
  readonly cudaLibrary: string | null;
  /** Where the JSON goes. */
  readonly out: string;
  /** Small sizes: checks that the harness runs, not how fast. */
  readonly smoke: boolean;
  /** The parts to run; null: all. */
  readonly only: readonly string[] | null;
  /** Files of request traces; none: requests are drawn. */
  readonly traces: readonly string[];
  /** Of each trace, from its beginning; null: as many as the bench has for the device. */
  readonly requests: number | null;
  /** Runs behind each median; null: the bench's own. */
  readonly repeats: number | null;
  /** Of a run against the clock; null: the bench's own. */
  readonly seconds: number | null;
  /** What the elasticity bench moves; null: its own. */
  readonly moveBytes: number | null;
}

/** As commander hands them over: what was not given is absent. */
export interface Flags {
  readonly backend: string;
  readonly cudaLibrary?: string;
  readonly out: string;
  readonly smoke: boolean;
  readonly only?: readonly string[];
  readonly trace?: readonly string[];
  readonly requests?: string;
  readonly repeats?: string;
  readonly seconds?: string;
  readonly moveBytes?: string;
}

export const OUT_DEFAULT = 'bench/results';
const REPEATS_MAX = 10_000;
const REQUESTS_MAX = 10_000_000;
const SECONDS_MIN = 0.1;
const SECONDS_MAX = 3600;
const MOVE_UNIT_BYTES = 64 * 1024 * 1024;

export function parseFlags(flags: Flags): BenchOptions {
  const { backend } = flags;
  if (backend !== 'auto' && backend !== 'host' && backend !== 'cuda')
    throw badField('backend', backend, 'auto, host or cuda');
  return {
    backend,
    cudaLibrary: flags.cudaLibrary ?? defaultCudaLibrary(),
    out: flags.out,
    smoke: flags.smoke,
    only: flags.only ?? null,
    traces: flags.trace ?? [],
    requests: whole('requests', flags.requests, REQUESTS_MAX),
    repeats: whole('repeats', flags.repeats, REPEATS_MAX),
    seconds: secondsOf(flags.seconds),
    moveBytes: sizeOf(flags.moveBytes),
  };
}

function whole(flag: string, text: string | undefined, most: number): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || value < 1 || value > most)
    throw badField(flag, text, `an integer from 1 to ${most}`);
  return value;
}

function secondsOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (text.trim() === '' || !(value >= SECONDS_MIN && value <= SECONDS_MAX))
    throw badField('seconds', text, `a number from ${SECONDS_MIN} to ${SECONDS_MAX}`);
  return value;
}

/** As much as requests of the model divide without a rest. */
function sizeOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const found = /^(\d{1,6})(MiB|GiB)$/.exec(text);
  const bytes = Number(found?.[1]) * (found?.[2] === 'GiB' ? 2 ** 30 : 2 ** 20);
  if (found === null || bytes === 0 || bytes % MOVE_UNIT_BYTES !== 0)
    throw badField('move-bytes', text, 'a multiple of 64MiB, e.g. 512MiB or 10GiB');
  return bytes;
}

/** In the order in which they run, whatever the order in which they were named. */
export function chosenParts(
  names: readonly string[],
  only: readonly string[] | null,
): readonly string[] {
  const unknown = only?.find(name => !names.includes(name));
  if (unknown !== undefined) throw badField('only', unknown, names.join(', '));
  return only === null ? names : names.filter(name => only.includes(name));
}
