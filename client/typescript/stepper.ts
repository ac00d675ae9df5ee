/**
 * The hot path: telling the native core the new length of each live slot. In the common case
 * nothing happens, and then nothing is allocated either: results without detail are shared.
 */
import { badField, KvspanError } from '../../proto/errors.js';
import { COUNT_MAX } from './validate.js';
import type { NativeCache } from './mapping/memory.js';

/** The most expensive thing that the step had to do. */
export type StepOutcome =
  /** Every slot had room. */
  | 'nothing'
  /** Every slot had room; the mapper was given work for later. */
  | 'ahead'
  /** Extents of the magazine were mapped. */
  | 'mapped'
  /** The daemon was asked, and what it gave was mapped. */
  | 'refilled'
  /** `shortSlots` could not grow and kept their length; all others have grown. */
  | 'short';

export interface StepResult {
  readonly outcome: StepOutcome;
  /** Made on this thread. */
  readonly driverCalls: number;
  /** Ascending. */
  readonly shortSlots: readonly number[];
}

export type Lengths = Int32Array | ReadonlyMap<number, number>;

/** What must come from the daemon, and for which slots, before a short step can be completed. */
export interface Shortage {
  readonly need: readonly number[];
  /** slot -> the length it should have had. */
  readonly wanted: ReadonlyMap<number, number>;
}

const NO_SLOTS: readonly number[] = Object.freeze([]);
export const NOTHING: StepResult = Object.freeze({
  outcome: 'nothing',
  driverCalls: 0,
  shortSlots: NO_SLOTS,
});
export const AHEAD: StepResult = Object.freeze({
  outcome: 'ahead',
  driverCalls: 0,
  shortSlots: NO_SLOTS,
});

// Outcomes of the native step, in its own numbers (native/native.ts, StepOutcome).
const NATIVE_NOTHING = 0;
const NATIVE_AHEAD = 1;
const NATIVE_SHORT = 3;

export class Stepper {
  readonly #native: NativeCache;
  readonly #maxTokens: number;
  /** By slot; 0: not live. What the native core has. */
  readonly #lengths: Int32Array;
  readonly #scratch: Int32Array;
  #allocations = 0;
  #shortage: Shortage | null = null;

  constructor(native: NativeCache, slots: number, maxTokens: number) {
    this.#native = native;
    this.#maxTokens = maxTokens;
    this.#lengths = new Int32Array(slots);
    this.#scratch = new Int32Array(slots);
  }

  /** Of the latest step, if it was short. */
  get shortage(): Shortage | null {
    return this.#shortage;
  }

  /** An allocation looks for memory on another thread. */
  get allocating(): boolean {
    return this.#allocations > 0;
  }

  /**
   * An allocation goes on on another thread. Its slot becomes live on this one, in the same turn in
   * which `started` hears of it, so that no step comes between.
   */
  allocationBegins(): void {
    this.#allocations++;
  }

  allocationEnds(): void {
    this.#allocations--;
  }

  started(slot: number, tokens: number): void {
    this.#lengths[slot] = tokens;
  }

  ended(slot: number): void {
    this.#lengths[slot] = 0;
  }

  isLive(slot: number): boolean {
    return (this.#lengths[slot] ?? 0) > 0;
  }

  /** Throws for bad input, having changed nothing. */
  step(lengths: Lengths): StepResult {
    const wanted = lengths instanceof Int32Array ? lengths : this.#merged(lengths);
    const outcome = this.#native.step(wanted);
    if (outcome === NATIVE_SHORT) return this.#short(wanted);
    this.#lengths.set(wanted);
    if (outcome === NATIVE_NOTHING) return NOTHING;
    if (outcome === NATIVE_AHEAD) return AHEAD;
    return {
      outcome: 'mapped',
      driverCalls: this.#native.stepDetail().driverCalls,
      shortSlots: NO_SLOTS,
    };
  }

  /** The lengths to try again with; empty: the slots have grown, or were freed, by other ways. */
  stillWanted(shortage: Shortage): ReadonlyMap<number, number> {
    const open = [...shortage.wanted].filter(([slot, length]) => {
      const present = this.#lengths[slot] as number;
      return present > 0 && present < length;
    });
    return new Map(open);
  }

  /** The present lengths with the named slots changed. */
  #merged(named: ReadonlyMap<number, number>): Int32Array {
    if (!(named instanceof Map))
      throw badField('lengths', named, 'an Int32Array or a Map of slot to length');
    this.#scratch.set(this.#lengths);
    for (const [slot, length] of named) {
      this.#checkSlot(slot);
      if (!Number.isInteger(length) || length < 1 || length > this.#maxTokens) {
        throw badField(`lengths[${slot}]`, length, `an integer of 1 .. ${this.#maxTokens}`);
      }
      this.#scratch[slot] = length;
    }
    return this.#scratch;
  }

  #checkSlot(slot: number): void {
    const slots = this.#lengths.length;
    if (!Number.isInteger(slot) || slot < 0 || slot >= slots || slot > COUNT_MAX) {
      throw new KvspanError('SLOT_UNKNOWN', `slot: got ${slot}, allowed: 0 .. ${slots - 1}`, {
        field: 'slot',
      });
    }
    if (this.#lengths[slot] === 0) {
      // Which of the two it is, never allocated or freed, the native core knows, and says.
      this.#native.length(slot);
      throw new KvspanError('SLOT_UNKNOWN', `slot ${slot} is not live: allocate it first`, {
        field: 'slot',
      });
    }
  }

  #short(wanted: Int32Array): StepResult {
    const { driverCalls, shortSlots, need } = this.#native.stepDetail();
    const slots = Array.from(shortSlots).toSorted((a, b) => a - b);
    const missed = new Map(slots.map(slot => [slot, wanted[slot] as number]));
    this.#lengths.set(wanted);
    for (const slot of slots) this.#lengths[slot] = this.#native.length(slot);
    this.#shortage = { need: Array.from(need), wanted: missed };
    return Object.freeze({ outcome: 'short', driverCalls, shortSlots: Object.freeze(slots) });
  }
}
