/** Asking the daemon for what a cache lacks, on behalf of whoever waits for it. */
import { KvspanError } from '../../proto/errors.js';
import { now, within } from './deadline.js';
import type { GrantWish } from './grants.js';
import type { Granted } from './link.js';

/** A grant's way in: rejects with a refusal, DEADLINE_EXCEEDED or DAEMON_UNAVAILABLE. */
export type Ask = (wish: GrantWish) => Promise<Granted>;

/**
 * One refill at a time for a cache's steps: who comes while one is on its way waits for it, tries
 * again and asks for what is then still missing. So a daemon that is slow to answer does not
 * collect a request from every step that gave up waiting for it.
 */
export class Refills {
  #inFlight: Promise<Granted> | null = null;

  constructor(private readonly ask: Ask) {}

  /** True: something came, trying again is worth it. False: refused, or not by the deadline. */
  async byDeadline(
    need: readonly number[],
    minimumBytes: bigint,
    deadline: number,
  ): Promise<boolean> {
    const limitMs = deadline - now();
    if (limitMs <= 0) return false;
    try {
      this.#inFlight ??= this.#start({ counts: atLeastOne(need), minimumBytes, waitMs: limitMs });
      await within(this.#inFlight, limitMs, 'refill');
      return true;
    } catch (error) {
      if (error instanceof KvspanError) return false;
      throw error;
    }
  }

  #start(wish: GrantWish): Promise<Granted> {
    const grant = this.ask(wish);
    const done = () => {
      this.#inFlight = null;
    };
    grant.then(done, done);
    return grant;
  }
}

/** Between the native core's answer and now the magazine may have filled: ask for a page then. */
export function atLeastOne(need: readonly number[]): readonly number[] {
  return need.some(count => count > 0) ? need : [1];
}
