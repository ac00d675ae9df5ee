/**
 * Memory on its way here. A grant is decided on the stream and arrives on the extent channel; it
 * counts as arrived once the native core has its extents in the magazine.
 */
import { KvspanError } from '../../proto/errors.js';
import { type Deferred, deferred, now, within } from './deadline.js';
import { ANSWER_TIMEOUT_MS, type Granted, type Link } from './link.js';

/** The longest that one grant waits at the daemon; a longer wait asks again. */
export const GRANT_WAIT_MS_MAX = 30_000;
/** Of a caller's time, what is kept for the daemon's answer to travel. */
const ANSWER_RESERVE_MS = 50;

export interface GrantWish {
  readonly counts: readonly number[];
  readonly minimumBytes: bigint;
  readonly waitMs: number;
  /** Out of this promise. */
  readonly promiseId?: bigint;
  /** Withdraws it, if it still waits by then. */
  readonly signal?: AbortSignal;
}

export interface GrantCounts {
  readonly asked: number;
  readonly met: number;
  readonly refused: number;
  readonly inFlight: number;
  readonly grantedBytes: bigint;
}

interface Flight {
  /** Of its extents in the magazine. */
  readonly arrival: Deferred<void>;
  /** Of both: the extents and the daemon's word on them. */
  readonly outcome: Promise<Granted>;
  /** Settles when nothing more can come of the grant. Never rejects. */
  readonly settled: Promise<void>;
}

export class Grants {
  readonly #flights = new Map<bigint, Flight>();
  #nextId = 1n;
  #asked = 0;
  #met = 0;
  #refused = 0;
  #grantedBytes = 0n;

  /** For a promise: the daemon numbers both alike. */
  newId(): bigint {
    return this.#nextId++;
  }

  counts(): GrantCounts {
    return {
      asked: this.#asked,
      met: this.#met,
      refused: this.#refused,
      inFlight: this.#flights.size,
      grantedBytes: this.#grantedBytes,
    };
  }

  /**
   * One grant. Resolves once its extents are in the magazine and the daemon has said what it gave.
   * Rejects with the daemon's refusal, with DAEMON_UNAVAILABLE, or with DEADLINE_EXCEEDED after
   * `limitMs`. A grant given up on may still arrive: its extents are then in the magazine, for
   * whoever needs them next.
   */
  async request(link: Link, wish: GrantWish, limitMs: number): Promise<Granted> {
    const deadline = now() + limitMs;
    const { outcome } = await this.#begin(link, wish, limitMs);
    return within(outcome, msUntil(deadline), 'a grant');
  }

  /**
   * As request, for who only waits for memory: resolves as soon as the extents are there. The
   * daemon's word comes later, since it waits for their acknowledgement.
   */
  async fetch(link: Link, wish: GrantWish, limitMs: number): Promise<void> {
    const deadline = now() + limitMs;
    const { arrival, outcome } = await this.#begin(link, wish, limitMs);
    const first = Promise.race([arrival.promise, outcome.then(() => undefined)]);
    await within(first, msUntil(deadline), 'a grant');
  }

  async #begin(link: Link, wish: GrantWish, limitMs: number): Promise<Flight> {
    const asked = now();
    if (this.#flights.size >= link.server.grantsInFlightMax) await this.#room(link, limitMs);
    // An event that has been is not told again.
    if (wish.signal?.aborted === true)
      throw new KvspanError('GRANT_CANCELLED', 'a grant: withdrawn before it was asked for');
    const grantId = this.#nextId++;
    const counts = limited(wish.counts, link.server.extentsPerGrantMax);
    const waitMs = waitAtDaemon(Math.max(0, wish.waitMs - (now() - asked)));
    const flight = this.#start(link, { ...wish, counts, grantId, waitMs });
    const withdraw = () => void link.cancel(grantId).catch(() => undefined);
    wish.signal?.addEventListener('abort', withdraw);
    // What is here is not withdrawn.
    const stay = () => wish.signal?.removeEventListener('abort', withdraw);
    flight.arrival.promise.then(stay, stay);
    void flight.settled.then(stay);
    return flight;
  }

  /**
   * The native core has imported all of a grant, or as much as could be: whether that will do is
   * known with the daemon's word. If nothing came, its refusal says why.
   */
  arrived(grantId: bigint, importedCount: number): void {
    if (importedCount > 0) this.#flights.get(grantId)?.arrival.resolve();
  }

  /** The connection is gone: what was on its way will not come. */
  failAll(error: KvspanError): void {
    for (const flight of this.#flights.values()) flight.arrival.reject(error);
  }

  /** Withdraws what waits and sees the rest in, for at most `limitMs`. */
  async settleAll(link: Link, limitMs: number): Promise<void> {
    const flights = [...this.#flights].map(([grantId, flight]) => {
      link.cancel(grantId).catch(() => undefined);
      return flight.settled;
    });
    await within(Promise.all(flights), limitMs, 'grants in flight').catch(() => undefined);
  }

  /** The daemon refuses more than so many at once; a slow one must not collect them either. */
  async #room(link: Link, limitMs: number): Promise<void> {
    const deadline = now() + limitMs;
    while (this.#flights.size >= link.server.grantsInFlightMax) {
      const any = Promise.race([...this.#flights.values()].map(flight => flight.settled));
      await within(any, msUntil(deadline), 'a grant while the most are in flight');
    }
  }

  #start(link: Link, request: GrantWish & { readonly grantId: bigint }): Flight {
    this.#asked++;
    const arrival = deferred<void>();
    arrival.promise.catch(() => undefined);
    const outcome = this.#outcome(link, request, arrival.promise);
    const settled = outcome
      .then(
        () => this.#met++,
        () => this.#refused++,
      )
      .then(() => void this.#flights.delete(request.grantId));
    const flight = { arrival, outcome, settled };
    this.#flights.set(request.grantId, flight);
    return flight;
  }

  async #outcome(
    link: Link,
    request: GrantWish & { readonly grantId: bigint },
    arrival: Promise<void>,
  ): Promise<Granted> {
    const granted = await link.acquire(request);
    // The decision and the memory take different ways here; either may be first.
    await within(arrival, ANSWER_TIMEOUT_MS, `the extents of grant ${request.grantId}`);
    this.#grantedBytes += granted.grantedBytes;
    const asked = bytesOf(request.counts, link.server.pageBytes);
    if (granted.grantedBytes >= (request.minimumBytes || asked)) return granted;
    throw new KvspanError(
      'DEVICE_EXHAUSTED',
      `grant ${request.grantId}: the device had only ${granted.grantedBytes} of ${asked} bytes; ` +
        'they are in the magazine',
      { askedBytes: asked },
    );
  }
}

const msUntil = (deadline: number): number => Math.max(0, Math.ceil(deadline - now()));

/** Within the caller's time the answer must be back here too. */
function waitAtDaemon(waitMs: number): number {
  const reserveMs = Math.min(ANSWER_RESERVE_MS, waitMs / 4);
  return Math.floor(Math.min(waitMs - reserveMs, GRANT_WAIT_MS_MAX));
}

/** At most `extentsMax` extents, the largest first: what is left out is asked for next time. */
export function limited(counts: readonly number[], extentsMax: number): number[] {
  const kept = [...counts];
  let room = extentsMax;
  for (let order = kept.length - 1; order >= 0; order--) {
    kept[order] = Math.min(kept[order] as number, room);
    room -= kept[order] as number;
  }
  return kept;
}

/** The bytes of so many extents of each order. */
export function bytesOf(counts: readonly number[], pageBytes: bigint): bigint {
  return counts.reduce(
    (sum, count, order) => sum + ((BigInt(count) * pageBytes) << BigInt(order)),
    0n,
  );
}
