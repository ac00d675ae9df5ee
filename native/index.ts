/**
 * Loads the addon and turns what it throws into `KvspanError`s. Nothing else imports the binary.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isErrorCode, KvspanError } from '../proto/errors.js';
import type { NativeModule } from './native.js';

export type * from './native.js';
export { StepOutcome } from './native.js';

const BINARY = 'kvspan.node';
/** Where cmake-js leaves the binary, from the root of the package. */
const BUILD_FOLDER = 'build/native/Release';
/** Where `npm run kernels` leaves the compiled kernels, from the root of the package. */
const KERNELS_FOLDER = 'build/kernels';

type Callable = (this: unknown, ...args: unknown[]) => unknown;
type Binary = NativeModule & { readonly classes: Record<string, { readonly prototype: object }> };

let loaded: NativeModule | null = null;

/** The native module; loaded by the first call. Throws DEVICE_UNAVAILABLE if it was not built. */
export function loadNative(): NativeModule {
  loaded ??= wrapModule(requireBinary(findBinary()));
  return loaded;
}

/**
 * The binary's path: `KVSPAN_ADDON`, else beside the running file (a bundle), else where the build
 * leaves it, seen from this file's source (`native/`) and from its output (`build/ts/native/`).
 */
export function findBinary(env: NodeJS.ProcessEnv = process.env): string {
  const named = env['KVSPAN_ADDON'];
  if (named) return named;
  const here = dirname(fileURLToPath(import.meta.url));
  const places = [
    join(here, BINARY),
    join(here, '..', BUILD_FOLDER, BINARY),
    join(here, '../../..', BUILD_FOLDER, BINARY),
  ];
  const found = places.find(place => existsSync(place));
  if (found !== undefined) return found;
  throw new KvspanError(
    'DEVICE_UNAVAILABLE',
    `the native addon is not built; looked for ${places.join(', ')}; ` +
      'build it with `npx cmake-js compile -d native -O build/native`, or name it in KVSPAN_ADDON',
  );
}

/**
 * The folder of the compiled attention kernels: `KVSPAN_KERNELS`, else beside the running file (a
 * bundle), else where the build leaves it. That it holds them is `openKernels`'s to say.
 */
export function findKernels(env: NodeJS.ProcessEnv = process.env): string {
  const named = env['KVSPAN_KERNELS'];
  if (named) return named;
  const here = dirname(fileURLToPath(import.meta.url));
  const places = [
    join(dirname(findBinary(env)), 'kernels'),
    join(here, '..', KERNELS_FOLDER),
    join(here, '../../..', KERNELS_FOLDER),
  ];
  const last = join(here, '../../..', KERNELS_FOLDER);
  return places.find(place => existsSync(place)) ?? last;
}

function requireBinary(path: string): Binary {
  try {
    return createRequire(import.meta.url)(path) as Binary;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KvspanError('DEVICE_UNAVAILABLE', `cannot load the native addon ${path}: ${reason}`, {
      cause,
    });
  }
}

/** Wraps each function of the module and each method of its classes once; none is wrapped per call. */
function wrapModule(binary: Binary): NativeModule {
  for (const { prototype } of Object.values(binary.classes)) wrapPrototype(prototype);
  const { classes: _, ...functions } = binary;
  const entries = Object.entries(functions).map(([name, value]) => [
    name,
    typeof value === 'function' ? wrap(value as Callable) : value,
  ]);
  return Object.freeze(Object.fromEntries(entries)) as NativeModule;
}

/** A descriptor whose getter is a value to wrap, not a method of the descriptor. */
type Property = Omit<PropertyDescriptor, 'get'> & { get?: Callable };

function wrapPrototype(prototype: object): void {
  const properties: Record<string, Property> = Object.getOwnPropertyDescriptors(prototype);
  for (const [name, property] of Object.entries(properties)) {
    if (name === 'constructor') continue;
    const wrapped: Property = { ...property };
    if (typeof property.value === 'function')
      wrapped.value = name === 'step' ? wrapStep(property.value) : wrap(property.value);
    if (property.get) wrapped.get = wrap(property.get);
    Object.defineProperty(prototype, name, wrapped);
  }
}

/** What a wrapped function wraps, so that a second instance of this file does not wrap it again. */
const ORIGINAL = Symbol.for('kvspan.native.original');
const originalOf = (callable: Callable): Callable =>
  (callable as { [ORIGINAL]?: Callable })[ORIGINAL] ?? callable;
const marked = (wrapper: Callable, original: Callable): Callable =>
  Object.assign(wrapper, { [ORIGINAL]: original });

function wrap(callable: Callable): Callable {
  const original = originalOf(callable);
  return marked(function (this: unknown, ...args: unknown[]): unknown {
    try {
      const result = Reflect.apply(original, this, args);
      return result instanceof Promise ? result.catch(rethrow) : result;
    } catch (error) {
      return rethrow(error);
    }
  }, original);
}

/** As `wrap`, without the array of arguments: `step` allocates nothing. */
function wrapStep(callable: Callable): Callable {
  const original = originalOf(callable);
  return marked(function (this: unknown, lengths: unknown): unknown {
    try {
      return original.call(this, lengths);
    } catch (error) {
      return rethrow(error);
    }
  }, original);
}

function rethrow(error: unknown): never {
  if (!(error instanceof Error) || error instanceof KvspanError) throw error;
  const { code, field } = error as { code?: unknown; field?: unknown };
  if (typeof code !== 'string' || !isErrorCode(code)) throw error;
  throw new KvspanError(code, error.message, {
    field: typeof field === 'string' ? field : '',
    cause: error,
  });
}
