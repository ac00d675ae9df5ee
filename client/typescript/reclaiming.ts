/**
 * Giving back when others wait: what is idle, and, if that is not enough and more is asked for, what
 * the engine preempts. None of it is on the engine's way: `step` goes on beside it.
 */
import { now, pause, within } from './deadline.js';
import type { Listeners } from './events.js';
import type { Link } from './link.js';

/** Between looks at memory that the GPU is not done with. */
const FENCE_PAUSE_MS = 5;

/** A reclaim of the daemon's. */
export interface Asked {
  readonly reclaimId: bigint;
  readonly wantedBytes: bigint;
  readonly deadlineMs: number;
  /** Only what lies idle. */
  readonly idleOnly: boolean;
}

/** How many bytes it has preempted, in slots that it has freed; nothing: it does not know. */
export type OnReclaim = (
  bytes: bigint,
  deadlineMs: number,
) => bigint | undefined | void | Promise<bigint | undefined | void>;

export interface ReclaimOwner {
  readonly closing: boolean;
  /** Magazine, idle spans, look-ahead, in this order; acknowledged by the daemon. */
  giveBack(bytes: bigint): Promise<bigint>;
  /** No memory is asked for ahead of need for a while. */
  holdBack(): void;
}

export class Reclaiming {
  /** The engine's callback has not come back: it is not called a second time meanwhile. */
  #asking = false;

  constructor(
    private readonly owner: ReclaimOwner,
    private readonly listeners: Listeners,
    private readonly onReclaim: OnReclaim | null,
  ) {}

  async answer(link: Link, asked: Asked): Promise<void> {
    if (this.owner.closing) return;
    const { reclaimId, wantedBytes, deadlineMs, idleOnly } = asked;
    const until = now() + deadlineMs;
    this.owner.holdBack();
    let returnedBytes = await this.owner.giveBack(wantedBytes);
    const missing = returnedBytes < wantedBytes ? wantedBytes - returnedBytes : 0n;
    const shortfallBytes = idleOnly ? 0n : missing;
    const event = { wantedBytes, returnedBytes, shortfallBytes, deadlineMs, idleOnly };
    const listened = this.listeners.emit('reclaim', event);
    if (shortfallBytes > 0n) returnedBytes += await this.#preempt(shortfallBytes, until, listened);
    await link.reportReclaim(reclaimId, returnedBytes);
  }

  /** What the engine preempts, as far as it is free by then. */
  async #preempt(bytes: bigint, until: number, listened: Promise<void>): Promise<bigint> {
    const leftMs = (): number => Math.max(0, until - now());
    const both = Promise.all([this.#ask(bytes, leftMs()), listened]);
    const answered = await within(both, leftMs(), 'preempting').catch(() => [0n] as const);
    const told = answered[0] < bytes ? answered[0] : bytes;
    let returned = 0n;
    for (;;) {
      if (this.owner.closing) return returned;
      returned += await this.owner.giveBack(bytes - returned);
      // What was preempted is given when the GPU is done with it, as long as the daemon waits.
      if (returned >= told || leftMs() === 0) return returned;
      await pause(Math.min(FENCE_PAUSE_MS, leftMs()));
    }
  }

  /** A callback that throws, or never comes back, harms nobody but itself. */
  async #ask(bytes: bigint, deadlineMs: number): Promise<bigint> {
    if (this.onReclaim === null || this.#asking) return 0n;
    this.#asking = true;
    try {
      const told = await this.onReclaim(bytes, deadlineMs);
      return typeof told === 'bigint' && told > 0n ? told : 0n;
    } catch (error) {
      process.emitWarning(`onReclaim failed: ${String(error)}`, { type: 'KvspanWarning' });
      return 0n;
    } finally {
      this.#asking = false;
    }
  }
}
