/**
 * Units of equal size, all free at first: the free list of a paged allocator. A unit has one owner
 * or none, and giving up what nobody owns is a fault of the caller.
 */
export class FreeList {
  readonly #stack: Int32Array;
  readonly #owned: Uint8Array;
  #free: number;

  constructor(count: number) {
    // The lowest comes out first.
    this.#stack = Int32Array.from({ length: count }, (_, index) => count - 1 - index);
    this.#owned = new Uint8Array(count);
    this.#free = count;
  }

  get freeCount(): number {
    return this.#free;
  }

  get count(): number {
    return this.#stack.length;
  }

  /** -1: none is left. */
  take(): number {
    if (this.#free === 0) return -1;
    this.#free -= 1;
    const unit = this.#stack[this.#free] as number;
    this.#owned[unit] = 1;
    return unit;
  }

  give(unit: number): void {
    if (this.#owned[unit] !== 1) throw new Error(`unit ${unit} is not taken`);
    this.#owned[unit] = 0;
    this.#stack[this.#free] = unit;
    this.#free += 1;
  }
}
