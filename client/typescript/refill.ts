/** Asking the daemon for what a cache lacks, on behalf of whoever waits for it. */
import { setMaxListeners } from 'node:events';
import { now, pause } from './deadline.js';
import type { GrantWish } from './grants.js';

/** Resolves once a grant's extents are here; else a refusal, DEADLINE_EXCEEDED, DAEMON_UNAVAILABLE. */
export type Ask = (wish: GrantWish) => Promise<void>;

/**
 * While a grant waits, memory may come by other ways: a slot is freed, the GPU is done with a freed
 * span, a background refill arrives. So often whoever waits looks again.
 */
const LOOK_AGAIN_MS = 20;

export type RefillOutcome =
  /** Something came, or may have come by another way: try again. */
  | 'again'
  /** Refused, or time is up: the next try is the last. */
  | 'over';

/**
 * One refill at a time for a cache's steps: who comes while one is on its way waits for it, tries
 * again and asks for what is then still missing. So a daemon that is slow to answer does not
 * collect a request from every step that gave up waiting for it.
 */
export class Refills {
  #inFlight: Promise<RefillOutcome> | null = null;

  constructor(private readonly ask: Ask) {}

  async byDeadline(
    need: readonly number[],
    minimumBytes: bigint,
    deadline: number,
  ): Promise<RefillOutcome> {
    const limitMs = deadline - now();
    if (limitMs <= 0) return 'over';
    const shared = this.#inFlight;
    const refill =
      shared ?? this.#start({ counts: atLeastOne(need), minimumBytes, waitMs: limitMs });
    const lookAgain = pause(Math.min(limitMs, LOOK_AGAIN_MS)).then(() => 'again' as const);
    const outcome = await Promise.race([refill, lookAgain]);
    // Somebody else's patience has ended, not this caller's.
    return shared === null ? outcome : 'again';
  }

  #start(wish: GrantWish): Promise<RefillOutcome> {
    const refill = this.ask(wish).then(
      () => 'again' as const,
      () => 'over' as const,
    );
    this.#inFlight = refill;
    void refill.then(() => {
      this.#inFlight = null;
    });
    return refill;
  }
}

export interface Attempt {
  /** -1: not enough memory. */
  readonly slot: number;
  /** What a grant must bring. */
  readonly need: readonly number[];
}

/** How a cache looks for memory. */
export interface Looking {
  /** Takes what there is; if that is too little, waits for extents to arrive, where they do. */
  attempt(patienceMs: number): Promise<Attempt>;
  /** Ends the wait of an attempt. */
  hurry(): void;
  /** Nobody else waits for memory: what arrives next is this allocation's own. */
  alone(): boolean;
  ask(need: readonly number[], signal: AbortSignal): Promise<void>;
}

/**
 * Tries until there is a slot, one grant after the other in flight. Throws what `ask` does. A grant
 * that is not needed in the end is withdrawn by the signal. `knownNeed`: what a first try would
 * find missing, if that is known; it is then not made.
 *
 * While a grant is on its way the attempt waits in the native core, on the thread that its arrival
 * wakes, so that the memory is mapped before this side has even heard of it. Only one that is alone
 * does so: it would take what comes first, and others would find their own grants taken.
 */
export async function allocateWith(
  looking: Looking,
  knownNeed: readonly number[] | null = null,
): Promise<number> {
  const done = new AbortController();
  // A pause that a grant overtakes listens until its time is up; there may be many of those.
  setMaxListeners(0, done.signal);
  let grant: Promise<'came'> | null = null;
  try {
    for (let need = knownNeed; ; need = null) {
      const looked = need === null ? await looking.attempt(0) : { slot: -1, need };
      if (looked.slot >= 0) return looked.slot;
      if (grant === null) {
        grant = looking.ask(atLeastOne(looked.need), done.signal).then(() => 'came');
        // It may fail while an attempt waits for it: that ends then, and the failure is seen below.
        grant.catch(() => {
          if (!done.signal.aborted) looking.hurry();
        });
      }
      const since = now();
      if (looking.alone()) {
        const { slot } = await looking.attempt(LOOK_AGAIN_MS);
        if (slot >= 0) return slot;
      }
      // An attempt that somebody hurried has waited for less than its time.
      const restMs = Math.max(0, LOOK_AGAIN_MS - (now() - since));
      const came = await Promise.race([grant, pause(restMs, done.signal)]);
      if (came === 'came') grant = null;
    }
  } finally {
    done.abort();
  }
}

/** Between the native core's answer and now the magazine may have filled: ask for a page then. */
function atLeastOne(need: readonly number[]): readonly number[] {
  return need.some(count => count > 0) ? need : [1];
}
