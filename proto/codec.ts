/**
 * Every conversion between numbers and the wire's 64-bit and 32-bit fields. proto-loader by itself
 * wraps what does not fit ("-1" becomes 2^64 - 1, "abc" becomes 0, 3.7 becomes 3) and says nothing;
 * here the value is refused and the field named.
 */
import type { Long } from '@grpc/proto-loader';
import { badField } from './errors.js';

export const UINT64_MAX = 2n ** 64n - 1n;
export const UINT32_MAX = 2 ** 32 - 1;

/** How a 64-bit field is written: decimal text, exact for every value. */
export type EncodedUint64 = string;
/** What a 64-bit field can be when it comes from proto-loader or from a caller's object. */
export type WireUint64 = string | number | Long | null | undefined;

const UINT64_ALLOWED = `an integer 0 .. ${UINT64_MAX}`;
const UINT32_ALLOWED = `an integer 0 .. ${UINT32_MAX}`;
const DECIMAL = /^(0|[1-9][0-9]{0,19})$/;

/** Throws INVALID_ARGUMENT, naming `field`, for anything but a bigint in 0 .. 2^64 - 1. */
export function encodeUint64(value: bigint, field: string): EncodedUint64 {
  if (typeof value !== 'bigint' || value < 0n || value > UINT64_MAX)
    throw badField(field, value, UINT64_ALLOWED);
  return value.toString();
}

/** Throws INVALID_ARGUMENT, naming `field`, for anything but a whole number in 0 .. 2^64 - 1. */
export function decodeUint64(wire: WireUint64, field: string): bigint {
  const value = uint64Of(wire);
  if (value === null) throw badField(field, wire, UINT64_ALLOWED);
  return value;
}

function uint64Of(wire: WireUint64): bigint | null {
  if (typeof wire === 'string' && DECIMAL.test(wire)) {
    const value = BigInt(wire);
    if (value <= UINT64_MAX) return value;
  }
  // A larger number may have been rounded on its way here, so it is refused too.
  if (typeof wire === 'number' && Number.isSafeInteger(wire) && wire >= 0) return BigInt(wire);
  return null;
}

function refused64(wire: WireUint64, field: string, index: number): never {
  throw badField(`${field}[${index}]`, wire, UINT64_ALLOWED);
}

export function encodeUint64s(values: Iterable<bigint>, field: string): EncodedUint64[] {
  return Array.from(values, (value, index) => encodeUint64(value, `${field}[${index}]`));
}

export function decodeUint64s(wire: readonly WireUint64[] | undefined, field: string): bigint[] {
  if (!Array.isArray(wire)) throw badField(field, wire, 'a list');
  // Tens of thousands at once: the name of one is made only if it is refused.
  return wire.map((value: WireUint64, index) => uint64Of(value) ?? refused64(value, field, index));
}

/** Throws INVALID_ARGUMENT, naming `field`, for anything but a whole number in 0 .. 2^32 - 1. */
export function encodeUint32(value: number, field: string): number {
  if (!Number.isInteger(value) || value < 0 || value > UINT32_MAX)
    throw badField(field, value, UINT32_ALLOWED);
  return value;
}

/** The same check: a decoded field is in range already, a caller's object may not be. */
export const decodeUint32 = (wire: number | null | undefined, field: string): number =>
  encodeUint32(wire as number, field);

export function encodeUint32s(values: Iterable<number>, field: string): number[] {
  return Array.from(values, (value, index) => encodeUint32(value, `${field}[${index}]`));
}

export function decodeUint32s(wire: readonly number[] | undefined, field: string): number[] {
  if (!Array.isArray(wire)) throw badField(field, wire, 'a list');
  return encodeUint32s(wire as number[], field);
}
