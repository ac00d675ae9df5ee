/**
 * The daemon's log: one line an event, the same keys everywhere, and never a token in it.
 * No pino transports: they are worker threads that would have to be bundled.
 */
import {
  destination,
  pino,
  stdTimeFunctions,
  type DestinationStream,
  type Logger as PinoLogger,
} from 'pino';
import { KvspanError } from '../../proto/errors.js';
import type { Config } from '../config/schema.js';
import { StartupError } from '../exit-codes.js';
import { prettyLine } from './pretty.js';

/** The keys that a line may have, beside pino's own; a new one is added here first. */
export interface LogFields {
  readonly component?: string;
  readonly session?: bigint;
  readonly pid?: number;
  readonly uid?: number;
  readonly name?: string;
  readonly connection?: number;
  readonly grant?: bigint;
  readonly cache?: bigint;
  readonly extents?: number;
  readonly bytes?: bigint;
  readonly missingBytes?: bigint;
  readonly deviceBytes?: bigint;
  readonly tenant?: string;
  readonly code?: string;
  readonly field?: string;
  readonly method?: string;
  readonly incident?: string;
  readonly ms?: number;
  readonly reason?: string;
  readonly err?: unknown;
  readonly backend?: string;
  readonly device?: string;
  readonly path?: string;
  readonly signal?: string;
  readonly killed?: boolean;
  readonly reclaim?: bigint;
  readonly idleOnly?: boolean;
  readonly promise?: bigint;
}

type Write = (fields: LogFields, message: string) => void;

/** What of pino the daemon uses: a line is fields and a sentence, and the fields are known ones. */
export interface Logger {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  readonly fatal: Write;
  child(fields: LogFields): Logger;
}

/** Lines that a full disk has not taken; what comes after these is dropped. */
const UNWRITTEN_BYTES_MAX = 1024 * 1024;
export const REDACTED = '[redacted]';
const SECRET_KEY = /token|secret|authorization/i;
/** Deep enough for metadata inside an error inside a line. */
const DEPTH_MAX = 5;

/**
 * What JSON cannot hold is written as text; bytes never appear, since a token is bytes; a key that
 * names a secret is blanked whatever its value.
 */
function safe(value: unknown, depth = 0): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEPTH_MAX) return '[deep]';
  if (value instanceof Error) return describeError(value, depth);
  if (Array.isArray(value)) return value.map(entry => safe(entry, depth + 1));
  const entries = Object.entries(value);
  return Object.fromEntries(
    entries.map(([key, entry]) => [key, SECRET_KEY.test(key) ? REDACTED : safe(entry, depth + 1)]),
  );
}

function describeError(error: Error, depth: number): unknown {
  const cause = error.cause === undefined ? {} : { cause: safe(error.cause, depth + 1) };
  if (error instanceof KvspanError) return { code: error.code, message: error.message, ...cause };
  return { type: error.name, message: error.message, stack: error.stack, ...cause };
}

function prettyTo(target: DestinationStream): DestinationStream {
  return { write: (line: string) => target.write(prettyLine(line)) };
}

function openDestination(path: string | null): DestinationStream {
  try {
    // Synchronous: the last line before a crash is the one that is needed.
    const dest = path ?? 2;
    return destination({ dest, sync: true, mkdir: false, maxLength: UNWRITTEN_BYTES_MAX }).on(
      'error',
      // A full disk costs lines, not the daemon: what does not fit is kept, and written with the next
      // line that does.
      () => undefined,
    );
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartupError(
      'permission',
      `logFile ${path ?? 'stderr'}: ${why}`,
      'give a --log-file that can be written',
      error,
    );
  }
}

/** `target`: where the lines go; by default what the configuration says. */
export function createLogger(
  config: Pick<Config, 'logLevel' | 'logFile' | 'logFormat'>,
  target?: DestinationStream,
): Logger {
  const sink = target ?? openDestination(config.logFile);
  const options = {
    level: config.logLevel,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    // `err` is handled with everything else, by `safe`.
    serializers: { err: (error: unknown) => error },
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (fields: object) => safe(fields) as Record<string, unknown>,
    },
  };
  return withSafeChildren(pino(options, config.logFormat === 'pretty' ? prettyTo(sink) : sink));
}

/** pino applies `formatters.bindings` to the root alone. Children inherit from it, so this is enough. */
function withSafeChildren(root: PinoLogger): PinoLogger {
  const pinoChild: unknown = Reflect.get(root, 'child');
  const safeChild = function (this: unknown, fields: object, options?: object): PinoLogger {
    return Reflect.apply(pinoChild as (...args: unknown[]) => PinoLogger, this, [
      safe(fields),
      options,
    ]);
  };
  return Object.assign(root, { child: safeChild as unknown as PinoLogger['child'] });
}
