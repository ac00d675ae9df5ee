/**
 * Memory promised to requests: the daemon keeps it free, and a slot that grows draws on it. What is
 * drawn comes through the magazine, where it is kept for slots with a promise. A promise covers what
 * its slot still lacks, not what it has: it shrinks when the slot grows, by whatever memory.
 */
import { badField, KvspanError } from '../../proto/errors.js';
import { now } from './deadline.js';
import { bytesOf, limited } from './grants.js';
import { ANSWER_TIMEOUT_MS, type Link } from './link.js';
import type { ReservationOwner, ReservedCache } from './reservation-owner.js';

export type ReservationEnd =
  /** Its owner, or its slot's `free`. */
  | 'released'
  /** It was not used in time. */
  | 'lapsed'
  /** Another tenant's guarantee needed what this one had borrowed. */
  | 'guarantee'
  /** Its tenant may have less than before. */
  | 'entitlement'
  /** The daemon went away, and when it was back had no room for it; or the session was evicted. */
  | 'lost';

/** Memory for one request to grow to `tokens`, promised by the daemon. */
export interface Reservation extends Disposable {
  readonly tokens: number;
  /** Promised still: what the request has not grown into. */
  readonly bytes: bigint;
  /** Null: it stands. */
  readonly ended: ReservationEnd | null;
  /** The slot whose request it is for; null: none yet. */
  readonly slot: number | null;
  /** Nothing more is needed of it. `free` does the same. Idempotent. */
  release(): void;
}

const UNKEEP_ALL = 2n ** 64n - 1n;
/** Renewals within one lapse: one may be late. */
const RENEWALS = 3;
const TICK_MS = 250;

export class PromisedMemory implements Reservation {
  ended: ReservationEnd | null = null;
  slot: number | null = null;
  renewedAt = now();
  drawing: Promise<boolean> | null = null;
  /** A request is being allocated with it. */
  taken = false;
  /** Nothing of it is left, and the daemon knows: the slot has grown to the end. */
  fulfilled: boolean;

  constructor(
    readonly book: Reservations,
    readonly cache: ReservedCache,
    readonly tokens: number,
    readonly lapseMs: number,
    /** The daemon's name for it; another one after each re-establishment. */
    public id: bigint,
    public bytes: bigint,
  ) {
    this.fulfilled = bytes === 0n;
  }

  /** What its slot still lacks; all of it, while it has none. */
  get gapBytes(): bigint {
    const { need } = this.cache;
    if (this.slot === null) return need.wholeBytes(this.tokens);
    return need.gapBytes(this.tokens, this.cache.mappedTokens(this.slot));
  }

  /** Promised and not needed, since its slot took what was drawn for another; below 0: the reverse. */
  get spareBytes(): bigint {
    if ((this.slot === null && !this.taken) || this.cache.closed || this.ended !== null) return 0n;
    return this.bytes - this.gapBytes;
  }

  release(): void {
    this.book.release(this);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

export class Reservations {
  readonly #all = new Set<PromisedMemory>();
  #timer: NodeJS.Timeout | null = null;

  constructor(private readonly owner: ReservationOwner) {}

  /** Made by the daemon. */
  add(
    cache: ReservedCache,
    tokens: number,
    lapseMs: number,
    made: { readonly id: bigint; readonly bytes: bigint },
  ): PromisedMemory {
    const promise = new PromisedMemory(this, cache, tokens, lapseMs, made.id, made.bytes);
    this.#all.add(promise);
    return promise;
  }

  /**
   * Takes it for a new request of this cache with such a prompt: `bind` or `drop` follows. Throws if
   * it cannot be.
   */
  take(reservation: unknown, cache: ReservedCache, promptTokens: number): PromisedMemory {
    if (!(reservation instanceof PromisedMemory) || reservation.cache !== cache)
      throw badField('reservation', reservation, 'what `reserve` of this cache gave');
    const { ended, slot, tokens } = reservation;
    if (ended !== null)
      throw new KvspanError('PROMISE_UNKNOWN', `reservation: it has ended: ${ended}`, {
        field: 'reservation',
      });
    if (slot !== null || reservation.taken)
      throw badField('reservation', 'one of another request', 'one that no request has yet');
    if (promptTokens > tokens)
      throw badField('promptTokens', promptTokens, `1 .. ${tokens}, the length reserved`);
    reservation.taken = true;
    return reservation;
  }

  /** The request did not come to be: another may have it. */
  drop(promise: PromisedMemory): void {
    promise.taken = false;
  }

  of(cache: ReservedCache, slot: number): PromisedMemory | null {
    for (const promise of this.#all)
      if (promise.cache === cache && promise.slot === slot) return promise;
    return null;
  }

  /** A request has begun in this slot: from now on the promise is renewed while it lives. */
  bind(promise: PromisedMemory, slot: number): void {
    promise.slot = slot;
    promise.cache.promised(slot, promise.ended === null);
    this.#settle(promise);
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  release(promise: PromisedMemory): void {
    if (promise.ended !== null) return;
    const { slot, cache, fulfilled } = promise;
    this.#end(promise, 'released');
    if (slot !== null && !cache.closed) cache.promised(slot, false);
    if (!fulfilled) this.#tell(promise, 0n);
  }

  /** The slot's request has ended. */
  freed(cache: ReservedCache, slot: number): void {
    const promise = this.of(cache, slot);
    if (promise === null) return;
    promise.slot = null;
    this.release(promise);
  }

  closed(cache: ReservedCache): void {
    for (const promise of this.#all) {
      if (promise.cache !== cache) continue;
      promise.slot = null;
      this.release(promise);
    }
  }

  /** The daemon has cut it. */
  cut(promiseId: bigint, leftBytes: bigint, reason: string): void {
    const promise = [...this.#all].find(({ id }) => id === promiseId);
    if (promise === undefined) return;
    promise.bytes = leftBytes < promise.bytes ? leftBytes : promise.bytes;
    this.#cut(promise, leftBytes, known(reason));
  }

  /**
   * Draws what these slots need for their lengths, where it is promised to them. False: nothing came
   * of it, and they are like any others.
   */
  async draw(
    cache: ReservedCache,
    wanted: ReadonlyMap<number, number>,
    limitMs: number,
  ): Promise<boolean> {
    const draws = [...wanted].flatMap(([slot, length]) => {
      const promise = this.of(cache, slot);
      return promise === null || length > promise.tokens
        ? []
        : [this.#drawFor(promise, length, limitMs)];
    });
    return (await Promise.all(draws)).some(drawn => drawn);
  }

  /** For a prompt: what the native core has found missing. Throws what the daemon says. */
  async drawPrompt(
    promise: PromisedMemory,
    counts: readonly number[],
    limitMs: number,
  ): Promise<boolean> {
    if (promise.ended !== null) return false;
    const bytes = bytesOf(counts, this.owner.pageBytes);
    return bytes > promise.bytes
      ? this.#drawFromAll(promise, bytes, limitMs)
      : this.#draw(promise, counts, limitMs);
  }

  /** A live slot has a promise that it has not grown into yet. */
  get growing(): boolean {
    for (const { slot, bytes } of this.#all) if (slot !== null && bytes > 0n) return true;
    return false;
  }

  /** What slots with a promise will need next, so that their steps need not wait for it. */
  async drawAhead(): Promise<boolean> {
    const draws = [...this.#all].flatMap(promise => {
      const { cache, slot, tokens } = promise;
      if (slot === null || cache.closed) return [];
      const ahead = Math.min(tokens, cache.length(slot) + cache.lookaheadTokens);
      return cache.mappedTokens(slot) >= ahead
        ? []
        : [this.#drawFor(promise, ahead, ANSWER_TIMEOUT_MS)];
    });
    return (await Promise.all(draws)).some(drawn => drawn);
  }

  /** A new session of the same process: what is still lacking is promised again, or lost. */
  async restore(link: Link): Promise<void> {
    for (const promise of this.#all) {
      const { cache, tokens, lapseMs } = promise;
      const gapBytes = promise.gapBytes;
      promise.id = this.owner.newId();
      promise.bytes = gapBytes;
      promise.fulfilled = gapBytes === 0n;
      if (promise.fulfilled) continue;
      const mappedBytes = cache.need.wholeBytes(tokens) - gapBytes;
      const { overreadTokens, cacheId } = cache;
      const asked = { promiseId: promise.id, cacheId, tokens, overreadTokens, mappedBytes };
      try {
        this.#restored(promise, await link.reserve({ ...asked, waitMs: 0, lapseMs }), link);
      } catch (error) {
        // It is not the daemon that has no room: the next session asks again.
        if (!link.open) throw error;
        this.#cut(promise, 0n, 'lost');
      }
    }
  }

  /** No session will come that could promise anything again. */
  loseAll(): void {
    for (const promise of this.#all) if (!promise.fulfilled) this.#cut(promise, 0n, 'lost');
  }

  /** The session is closed. */
  stop(): void {
    for (const promise of this.#all) this.#end(promise, 'released');
  }

  /** Promised again; whoever released it meanwhile could tell nobody. */
  #restored(promise: PromisedMemory, bytes: bigint, link: Link): void {
    if (promise.ended !== null) {
      void link.updatePromise(promise.id, 0n).catch(() => undefined);
      return;
    }
    promise.bytes = bytes;
    promise.renewedAt = now();
  }

  #drawFor(promise: PromisedMemory, length: number, limitMs: number): Promise<boolean> {
    // A step that comes while another's draw is on its way waits for that, and looks again.
    promise.drawing ??= this.#drawOnce(promise, length, limitMs).finally(() => {
      promise.drawing = null;
    });
    return promise.drawing;
  }

  async #drawOnce(promise: PromisedMemory, length: number, limitMs: number): Promise<boolean> {
    const { cache, tokens, slot } = promise;
    if (promise.ended !== null || slot === null) return false;
    const mapped = cache.mappedTokens(slot);
    const { pageBytes } = this.owner;
    const more = cache.need.extentsFor(length, tokens, mapped);
    const least = cache.need.extentsFor(length, length, mapped);
    for (const counts of [more, least])
      if (bytesOf(counts, pageBytes) <= promise.bytes)
        return this.#draw(promise, counts, limitMs).catch(() => false);
    return this.#drawFromAll(promise, bytesOf(least, pageBytes), limitMs);
  }

  /**
   * Slots with a promise take what was drawn for any of them. One that finds its own gone has its due
   * with those that took it: they have more promised than they lack.
   */
  async #drawFromAll(first: PromisedMemory, bytes: bigint, limitMs: number): Promise<boolean> {
    const { pageBytes } = this.owner;
    const draws: Promise<boolean>[] = [];
    let missing = bytes;
    for (const promise of [first, ...this.#all]) {
      const spare = promise === first ? promise.bytes : promise.spareBytes;
      const part = spare < missing ? spare : missing;
      if (part <= 0n) continue;
      missing -= part;
      const counts = [Number(part / pageBytes)];
      draws.push(this.#draw(promise, counts, limitMs).catch(() => false));
    }
    return (await Promise.all(draws)).some(drawn => drawn);
  }

  /** What requests lack and no promise of their own covers: it is drawn, or others have it to spare. */
  get #owedBytes(): bigint {
    let owed = 0n;
    for (const { spareBytes } of this.#all) if (spareBytes < 0n) owed -= spareBytes;
    return owed;
  }

  async #draw(
    promise: PromisedMemory,
    counts: readonly number[],
    limitMs: number,
  ): Promise<boolean> {
    const { link, pageBytes } = this.owner;
    if (link === null) return false;
    const asked = limited(counts, link.server.extentsPerGrantMax);
    const bytes = bytesOf(asked, pageBytes);
    if (bytes === 0n || bytes > promise.bytes) return false;
    const { id } = promise;
    // Both at once: what is drawn is neither promised nor anybody else's.
    promise.bytes -= bytes;
    this.owner.keep(bytes);
    try {
      await this.owner.draw(asked, id, limitMs);
      promise.renewedAt = now();
      return true;
    } catch (error) {
      this.owner.unkeep(bytes);
      if (promise.id === id && promise.ended === null) promise.bytes += bytes;
      if (error instanceof KvspanError) this.#learn(promise, error);
      throw error;
    }
  }

  /** Cut behind this side's back: while a draw was on its way there, or the stream was gone. */
  #learn(promise: PromisedMemory, { code, freeBytes }: KvspanError): void {
    if (code === 'PROMISE_UNKNOWN') this.#cut(promise, 0n, 'lapsed');
    if (code === 'INVALID_ARGUMENT' && freeBytes !== null && freeBytes < promise.bytes)
      promise.bytes = freeBytes;
  }

  #tick(): void {
    for (const promise of this.#all) {
      if (promise.slot === null || promise.cache.closed) continue;
      if (now() - promise.renewedAt >= promise.lapseMs / RENEWALS) this.#settle(promise);
    }
  }

  /** What the slot has grown by other memory is given up; the rest is renewed. */
  #settle(promise: PromisedMemory): void {
    if (promise.ended !== null || promise.fulfilled) return;
    const { gapBytes } = promise;
    const keptBytes = gapBytes + this.#owedBytes;
    if (promise.drawing === null && keptBytes < promise.bytes) promise.bytes = keptBytes;
    promise.renewedAt = now();
    promise.fulfilled = gapBytes === 0n && promise.bytes === 0n;
    this.#tell(promise, promise.bytes);
  }

  #tell({ id }: PromisedMemory, leftBytes: bigint): void {
    void this.owner.link?.updatePromise(id, leftBytes).catch(() => undefined);
  }

  #cut(promise: PromisedMemory, leftBytes: bigint, reason: ReservationEnd): void {
    if (promise.ended !== null) return;
    const { slot, cache } = promise;
    if (leftBytes === 0n) {
      this.#end(promise, reason);
      if (slot !== null && !cache.closed) cache.promised(slot, false);
    }
    this.owner.cut({ reservation: promise, slot, leftBytes, reason });
  }

  #end(promise: PromisedMemory, reason: ReservationEnd): void {
    promise.ended = reason;
    promise.bytes = 0n;
    this.#all.delete(promise);
    if (this.#all.size > 0) return;
    this.owner.unkeep(UNKEEP_ALL);
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}

const known = (reason: string): ReservationEnd =>
  reason === 'guarantee' || reason === 'entitlement' ? reason : 'lapsed';
