/**
 * The mapper's background refills: the magazine fell below its low-water mark, or a slot will need
 * more soon. Nobody waits for them, so they take what is to be had and back off when refused.
 */
import { now } from './deadline.js';
import type { GrantWish } from './grants.js';
import type { Granted } from './link.js';

export const WISH_RETRY_FIRST_MS = 50;
export const WISH_RETRY_MAX_MS = 2_000;
/** After giving memory back to others: taking it again at once would take it from them. */
const AFTER_RECLAIM_MS = 500;
/** So often it is looked for what slots with a promise will need, while others must wait for longer. */
const DRAW_AHEAD_MS = 50;

/** What memory is promised to, and is not grown into yet. */
export interface Promises {
  readonly growing: boolean;
  /** Draws what their slots will need next; true: something came. */
  drawAhead(): Promise<boolean>;
}

export class MapperWishes {
  #retryMs = 0;
  #notBefore = 0;

  constructor(
    private readonly pageBytes: bigint,
    private readonly promises: Promises,
    private readonly ask: (wish: GrantWish) => Promise<Granted>,
    private readonly done: (retryAfterMs: number) => void,
  ) {}

  /** The mapper asks; it is answered exactly once. */
  async wish(counts: readonly number[]): Promise<void> {
    // What is promised is not asked for, and is given back to nobody: it need not wait.
    if (await this.promises.drawAhead()) return this.done(0);
    const holdMs = this.#notBefore - now();
    if (holdMs > 0) return this.done(this.#again(holdMs));
    try {
      await this.ask({ counts, minimumBytes: this.pageBytes, waitMs: 0 });
      this.#retryMs = 0;
    } catch {
      this.#retryMs = Math.min(WISH_RETRY_MAX_MS, Math.max(WISH_RETRY_FIRST_MS, this.#retryMs * 2));
      this.#notBefore = Math.max(this.#notBefore, now() + this.#retryMs);
    }
    this.done(this.#again(this.#retryMs));
  }

  /** Memory went to others. */
  holdBack(): void {
    this.#notBefore = Math.max(this.#notBefore, now() + AFTER_RECLAIM_MS);
  }

  /** When the mapper may wish again: soon, if there is something to draw that nobody else has. */
  #again(ms: number): number {
    return Math.ceil(this.promises.growing ? Math.min(ms, DRAW_AHEAD_MS) : ms);
  }
}
