/** What a session tells its owner, and who listens. */
import type { KvspanError } from '../../proto/errors.js';
import type { Reservation, ReservationEnd } from './reservations.js';

export interface PromiseCut {
  readonly reservation: Reservation;
  /** Null: no request had it yet. */
  readonly slot: number | null;
  /** 0n: the reservation has ended. */
  readonly leftBytes: bigint;
  readonly reason: ReservationEnd;
}

export interface SessionEvents {
  /**
   * The daemon is away, or re-establishing the session was refused, or it was evicted, for good:
   * `error` says which.
   */
  disconnected: { readonly error: KvspanError; readonly willReconnect: boolean };
  /** The session is established again, under a new id; caches kept their addresses. */
  reconnected: {
    readonly sessionId: bigint;
    readonly adoptedBytes: bigint;
    readonly attempts: number;
  };
  /**
   * Others wait for memory. What was idle has been given back already (`returnedBytes`);
   * `shortfallBytes` of `wantedBytes` are missing: preempt requests and `free` their slots. A
   * listener may return a promise; what is idle once it settles is given back too.
   */
  reclaim: {
    readonly wantedBytes: bigint;
    readonly returnedBytes: bigint;
    readonly shortfallBytes: bigint;
    readonly deadlineMs: number;
    /** Only what was idle was asked for: this session is within its share, and nobody need preempt. */
    readonly idleOnly: boolean;
  };
  /** Less is promised than before: the request may have to compete for what it lacks. */
  promiseCut: PromiseCut;
  /** The daemon is shutting down: no further grants. Spans stay usable. */
  draining: { readonly deadlineMs: number };
}

export type SessionEvent = keyof SessionEvents;
export type Listener<Name extends SessionEvent> = (
  event: SessionEvents[Name],
) => void | Promise<void>;

export const sessionEvents: readonly SessionEvent[] = [
  'disconnected',
  'reconnected',
  'reclaim',
  'promiseCut',
  'draining',
];

export class Listeners {
  readonly #listeners = new Map<SessionEvent, Set<Listener<never>>>();

  /** Returns what takes the listener off again. */
  add<Name extends SessionEvent>(name: Name, listener: Listener<Name>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /**
   * Calls every listener and waits for those that take their time. A listener that throws is its
   * owner's own mistake: it reaches the process as an uncaught exception, not the session.
   */
  async emit<Name extends SessionEvent>(name: Name, event: SessionEvents[Name]): Promise<void> {
    const calls = [...(this.#listeners.get(name) ?? [])].map(async listener => {
      try {
        await (listener as Listener<Name>)(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    });
    await Promise.all(calls);
  }
}
