/**
 * Checks of what callers give, before anything changes: each failure names the field, the value
 * and what is allowed. Lengths of live slots are checked by the native core, which knows them.
 */
import { badField } from '../../proto/errors.js';
import { type Dtype, dtypeBytes, type Geometry, type Layout, layouts } from './geometry.js';

/** Counts cross the addon as int32. */
export const COUNT_MAX = 2 ** 31 - 1;
/** The longest that any call waits, in milliseconds: a day. */
export const WAIT_MS_MAX = 24 * 60 * 60 * 1000;
/** As the extent channel's name field: they are shown to people. */
export const NAME_BYTES_MAX = 63;
const LOOKAHEAD_TOKENS_DEFAULT = 16;
const UINT64_MAX = 2n ** 64n - 1n;

export function count(field: string, value: unknown, minimum = 1, maximum = COUNT_MAX): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < minimum || value > maximum) {
    throw badField(field, value, `an integer of ${minimum} .. ${maximum}`);
  }
  return value;
}

export function bytes(field: string, value: unknown): bigint {
  if (typeof value !== 'bigint' || value < 0n || value > UINT64_MAX) {
    throw badField(field, value, `a bigint of 0 .. ${UINT64_MAX}`);
  }
  return value;
}

export function waitMs(value: unknown, fallback: number, field = 'waitMs'): number {
  if (value === undefined) return fallback;
  if (typeof value !== 'number' || !(value >= 0 && value <= WAIT_MS_MAX)) {
    throw badField(field, value, `milliseconds of 0 .. ${WAIT_MS_MAX}`);
  }
  return value;
}

export function name(field: string, value: unknown, minimum = 0): string {
  const printable = typeof value === 'string' && /^[\x20-\x7e]*$/.test(value);
  if (!printable || value.length > NAME_BYTES_MAX || value.length < minimum) {
    throw badField(field, value, `printable ASCII of ${minimum} .. ${NAME_BYTES_MAX} bytes`);
  }
  return value;
}

export function object(field: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) throw badField(field, value, 'an object');
}

export function path(field: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw badField(field, value, 'a path that is not empty');
}

export function flag(field: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw badField(field, value, 'true, false');
}

export function callback<T>(field: string, value: T): T {
  if (typeof value === 'function') return value;
  throw badField(field, value, 'a function');
}

export function oneOf<T extends string>(field: string, value: unknown, allowed: readonly T[]): T {
  if (!allowed.includes(value as T)) throw badField(field, value, allowed.join(', '));
  return value as T;
}

/** The geometry with the default layout filled in. */
export function geometry(given: Omit<Geometry, 'layout'> & { readonly layout?: Layout }): Geometry {
  const layout = oneOf('layout', given.layout ?? 'token-major', layouts);
  const kvHeads = count('kvHeads', given.kvHeads);
  if (layout === 'latent' && kvHeads !== 1)
    throw badField('kvHeads', kvHeads, '1: the latent layout has no heads');
  return Object.freeze({
    layout,
    layers: count('layers', given.layers),
    kvHeads,
    headDim: count('headDim', given.headDim),
    dtype: oneOf('dtype', given.dtype, Object.keys(dtypeBytes) as Dtype[]),
    slots: count('slots', given.slots),
    maxTokens: count('maxTokens', given.maxTokens),
  });
}

/** What a cache maps beyond what its lengths need, and how. */
export function mapping(options: {
  readonly growth?: unknown;
  readonly lookaheadTokens?: unknown;
  readonly overreadTokens?: unknown;
}): {
  readonly growth: 'geometric' | 'linear';
  readonly lookaheadTokens: number;
  readonly overreadTokens: number;
} {
  const { growth, lookaheadTokens, overreadTokens } = options;
  return {
    growth: oneOf('growth', growth ?? 'geometric', ['geometric', 'linear']),
    lookaheadTokens: count('lookaheadTokens', lookaheadTokens ?? LOOKAHEAD_TOKENS_DEFAULT, 0),
    overreadTokens: count('overreadTokens', overreadTokens ?? 0, 0),
  };
}

/** Dense rows for `[tokens, width]`: how many tokens they are. */
export function tokensIn(rows: unknown, width: number): number {
  if (!(rows instanceof Uint8Array)) throw badField('rows', rows, 'a Uint8Array');
  if (rows.byteLength === 0 || rows.byteLength % width !== 0) {
    throw badField(
      'rows.byteLength',
      rows.byteLength,
      `a whole number of tokens of ${width} bytes, at least one`,
    );
  }
  return rows.byteLength / width;
}

/** How many extents of each order, checked against what one grant may hold. */
export function orderCounts(counts: unknown, orderMax: number, extentsMax: number): number[] {
  if (!Array.isArray(counts) || counts.length > orderMax + 1) {
    throw badField(
      'counts',
      Array.isArray(counts) ? `${counts.length} entries` : counts,
      `an array of at most ${orderMax + 1} counts`,
    );
  }
  const checked = counts.map((value, order) => count(`counts[${order}]`, value, 0, extentsMax));
  const total = checked.reduce((sum, value) => sum + value, 0);
  if (total < 1 || total > extentsMax)
    throw badField('counts', `${total} extents`, `1 .. ${extentsMax} extents in all`);
  return checked;
}
