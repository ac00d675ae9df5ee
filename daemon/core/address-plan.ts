import { KvspanError, badField } from '../../proto/errors.js';
import { PAGE_BYTES, address, bytes, type Address, type Bytes } from './types.js';

interface Range {
  base: bigint;
  size: bigint;
}

/**
 * Who may use which addresses: ranges of `[base, base + size)` that never overlap, so that a cache
 * has the same addresses in every process. Keeps the free ranges, sorted, no two of them touching.
 * First fit is linear in the free ranges, the rest logarithmic (and a move of array elements).
 */
export class AddressPlan {
  private readonly free: Range[];
  private freeTotal: bigint;

  constructor(
    private readonly base: Address,
    private readonly size: Bytes,
  ) {
    this.free = [{ base, size }];
    this.freeTotal = size;
  }

  get freeBytes(): Bytes {
    return bytes(this.freeTotal);
  }

  /** The largest range in one piece. */
  largestFreeBytes(): Bytes {
    return bytes(
      this.free.reduce((largest, range) => (range.size > largest ? range.size : largest), 0n),
    );
  }

  /**
   * Takes `size` bytes (whole pages): at `wanted` (0: anywhere) if they are free there, else at the
   * first place that fits. Throws ADDRESS_PLAN_EXHAUSTED with what was asked and what is left.
   */
  allocate(size: Bytes, wanted: Address): Address {
    if (wanted !== 0n && this.isFree(wanted, size)) return this.take(wanted, size);
    const fit = this.free.find(range => range.size >= size);
    if (fit === undefined) throw this.exhausted(size);
    return this.take(address(fit.base), size);
  }

  /** True if the range lies in the plan and nobody has any of it. */
  isFree(base: Address, size: Bytes): boolean {
    const range = this.free[this.indexAfter(base) - 1];
    return range !== undefined && base + size <= range.base + range.size;
  }

  /** True if any of the range lies in the plan. */
  touches(base: Address, size: Bytes): boolean {
    return base < this.base + this.size && base + size > this.base;
  }

  /** Takes a range that `isFree`. */
  take(base: Address, size: Bytes): Address {
    const index = this.indexAfter(base) - 1;
    const range = this.free[index];
    if (range === undefined || !this.isFree(base, size)) {
      throw new KvspanError('INTERNAL', `address plan: ${base} + ${size} taken twice`);
    }
    const pieces = [
      { base: range.base, size: base - range.base },
      { base: base + size, size: range.base + range.size - (base + size) },
    ];
    this.free.splice(index, 1, ...pieces.filter(piece => piece.size > 0n));
    this.freeTotal -= size;
    return base;
  }

  /** Gives a taken range back; it grows together with its free neighbours. */
  release(base: Address, size: Bytes): void {
    const index = this.indexAfter(base);
    const before = this.free[index - 1];
    const after = this.free[index];
    if (
      (before !== undefined && before.base + before.size > base) ||
      (after !== undefined && after.base < base + size)
    ) {
      throw new KvspanError('INTERNAL', `address plan: ${base} + ${size} given back twice`);
    }
    const joinsBefore = before !== undefined && before.base + before.size === base;
    const joinsAfter = after !== undefined && after.base === base + size;
    const start = joinsBefore ? before.base : base;
    const end = joinsAfter ? after.base + after.size : base + size;
    const from = joinsBefore ? index - 1 : index;
    this.free.splice(from, Number(joinsBefore) + Number(joinsAfter), {
      base: start,
      size: end - start,
    });
    this.freeTotal += size;
  }

  /** Throws unless the free ranges are sorted, apart, page aligned and inside the plan. */
  check(): void {
    let end = this.base - 1n;
    let total = 0n;
    for (const range of this.free) {
      const aligned = range.base % PAGE_BYTES === 0n && range.size % PAGE_BYTES === 0n;
      if (range.size <= 0n || range.base <= end || !aligned) {
        throw new KvspanError(
          'INTERNAL',
          `address plan: bad free range ${range.base} + ${range.size}`,
        );
      }
      end = range.base + range.size;
      total += range.size;
    }
    if (end > this.base + this.size || total !== this.freeTotal) {
      throw new KvspanError(
        'INTERNAL',
        `address plan: ${total} bytes free, the books say ${this.freeTotal}`,
      );
    }
  }

  /** The index of the first free range that begins above `base`. */
  private indexAfter(base: bigint): number {
    let [low, high] = [0, this.free.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.free[middle] as Range).base <= base) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private exhausted(asked: Bytes): KvspanError {
    const message =
      `address plan: the cache asks ${asked} bytes of addresses, ` +
      `${this.freeTotal} of ${this.size} are left, ` +
      `the largest range has ${this.largestFreeBytes()}`;
    return new KvspanError('ADDRESS_PLAN_EXHAUSTED', message, {
      field: 'geometry',
      askedBytes: asked,
      freeBytes: this.freeTotal,
      limitBytes: this.size,
    });
  }
}

/** Throws unless `base` is 0 or a whole number of pages. */
export function checkBase(field: string, base: Address): void {
  if (typeof base === 'bigint' && base >= 0n && base % PAGE_BYTES === 0n) return;
  throw badField(field, base, `a multiple of ${PAGE_BYTES}`);
}
