/**
 * What the engine's thread and the mapping thread say to each other, in shared memory: no message
 * queue stands between a step and its answer.
 */

/** Places in the shared array. */
export const Word = {
  /** Counted up by the engine with each command. */
  asked: 0,
  /** The last command that is done. */
  done: 1,
  command: 2,
  /** How many slots follow. */
  count: 3,
  /** 1 once a command could not be carried out. */
  failed: 4,
  firstSlot: 5,
} as const;

export const Command = { grow: 1, reset: 2, end: 3 } as const;

/** What the thread needs to know at its start. */
export interface AheadStart {
  readonly words: Int32Array;
  readonly device: {
    readonly backend: 'host' | 'cuda';
    readonly ordinal: number;
    readonly library: string | null;
  };
  readonly lanes: number;
  readonly slots: number;
  readonly pagesPerSlot: number;
  /** Mapped in each lane at the beginning of every run. */
  readonly firstPages: readonly number[];
}
