/** A session: the memory of this process, its caches, and the way to the daemon. */
import { badField, KvspanError } from '../../proto/errors.js';
import { SessionCache } from './cache.js';
import type { CacheOwner } from './cache-owner.js';
import { CLOSE_TIMEOUT_MS, giveBackAll } from './closing.js';
import { Connection } from './connection.js';
import { now, within } from './deadline.js';
import { adoptHeld, type Daemon, type Meeting, replant } from './establish.js';
import { type Listener, Listeners, type SessionEvent, sessionEvents } from './events.js';
import { reservedFor } from './geometry.js';
import { Grants, type GrantWish } from './grants.js';
import { ANSWER_TIMEOUT_MS, type Granted, type Link, type PromiseRequest } from './link.js';
import { heldExtents, type Memory, type MemoryEvents } from './mapping/memory.js';
import { MapperWishes } from './mapper-wishes.js';
import { type OnReclaim, Reclaiming } from './reclaiming.js';
import type { ReservationOwner } from './reservation-owner.js';
import { Reservations } from './reservations.js';
import { Returns } from './returns.js';
import type { HeldExtent, ServerInfo } from './service.js';
import type { SessionState, SessionStats } from './stats.js';
import type { AcquireOptions, Cache, CacheOptions, Session } from './types.js';
import * as validate from './validate.js';

/** A daemon that is asked not to wait still needs a moment to answer. */
const GRANT_ANSWER_MS = 250;

export interface SessionSettings extends Meeting {
  readonly grantWaitMs: number;
  readonly reconnect: boolean;
  readonly onReclaim: OnReclaim | null;
}

export class ClientSession implements Session, CacheOwner {
  readonly grantWaitMs: number;
  readonly #memory: Memory;
  readonly #connection: Connection;
  readonly #listeners = new Listeners();
  readonly #grants = new Grants();
  readonly #returns = new Returns(() => this.#connection.returnPath);
  readonly #wishes: MapperWishes;
  readonly #caches = new Set<SessionCache>();
  readonly #reclaiming: Reclaiming;
  readonly reservations: Reservations;
  #closing: Promise<void> | null = null;
  #memoryClosed = false;

  /** `open` opens the process's memory with this session's event handlers. */
  constructor(
    settings: SessionSettings,
    server: ServerInfo,
    open: (events: MemoryEvents) => Memory,
  ) {
    this.grantWaitMs = settings.grantWaitMs;
    // The native core tells on the event loop, so not before this constructor is done.
    const memory = open({
      need: counts => void this.#wishes.wish(counts),
      returned: extentIds => this.#returns.add(extentIds),
      granted: (grantId, importedCount) => this.#grants.arrived(grantId, importedCount),
      channelClosed: reason => this.#connection.channelClosed(reason),
    });
    this.#memory = memory;
    this.#connection = new Connection(
      server,
      settings,
      settings.reconnect,
      memory,
      this.#listeners,
      {
        reclaim: (link, asked) => void this.#reclaiming.answer(link, asked).catch(() => undefined),
        promiseCut: (...cut) => this.reservations.cut(...cut),
        lost: error => {
          this.#grants.failAll(error);
          this.#returns.interrupt(error);
        },
        installed: () => this.#tellWhatWaits(),
        evicted: () => {
          this.reservations.loseAll();
          this.#tellWhatWaits();
        },
        restore: link => this.#restore(link),
      },
    );
    this.reservations = new Reservations(this.#reservationOwner(memory));
    const giveBack = (bytes: bigint) => this.#giveBack(bytes);
    const holdBack = () => this.#wishes.holdBack();
    const closing = () => this.#closing !== null;
    this.#reclaiming = new Reclaiming(
      {
        giveBack,
        holdBack,
        get closing() {
          return closing();
        },
      },
      this.#listeners,
      settings.onReclaim,
    );
    this.#wishes = new MapperWishes(
      server.pageBytes,
      this.reservations,
      wish => this.#wishInBackground(wish),
      retryAfterMs => {
        if (!this.#memoryClosed) memory.refillDone(retryAfterMs);
      },
    );
  }

  get id(): bigint {
    return this.#connection.sessionId;
  }

  get server(): ServerInfo {
    return this.#connection.server;
  }

  get state(): SessionState {
    if (this.#closing !== null) return 'closed';
    if (this.#connection.eviction !== null) return 'evicted';
    return this.connected ? 'connected' : 'disconnected';
  }

  get backend(): 'host' | 'cuda' {
    return this.server.backend;
  }

  get pageBytes(): bigint {
    return this.server.pageBytes;
  }

  get connected(): boolean {
    return this.#connection.link !== null;
  }

  /** The first connection. Throws, and leaves nothing open. */
  async begin(daemon: Daemon): Promise<void> {
    try {
      await this.#connection.begin(daemon);
    } catch (error) {
      this.#closing = this.#closeMemory();
      await this.#closing;
      throw error;
    }
  }

  async createCache(options: CacheOptions): Promise<Cache> {
    this.#open('createCache');
    validate.object('options', options);
    const geometry = validate.geometry(options);
    const name = validate.name('name', options.name ?? '');
    const native = validate.mapping(options);
    const wanted = validate.bytes('wantedBaseAddress', options.wantedBaseAddress ?? 0n);
    if (wanted % this.pageBytes !== 0n)
      throw badField('wantedBaseAddress', wanted, `a multiple of ${this.pageBytes}`);
    const link = this.#connection.require('Session.createCache');
    const { timeoutMs } = this.#connection;
    const reserved = reservedFor(geometry, native.overreadTokens);
    const { cacheId, plan } = await link.service.createCache(reserved, wanted, name, timeoutMs);
    let cache: SessionCache | null = null;
    try {
      this.#open('createCache');
      const sizes = {
        ...plan,
        wantedBase: plan.baseAddress,
        slotCount: geometry.slots,
        maxTokens: geometry.maxTokens,
      };
      cache = new SessionCache(
        this,
        this.#memory.createCache(sizes, native),
        cacheId,
        name,
        geometry,
        plan,
        native,
      );
      this.#caches.add(cache);
      if (cache.plan.baseAddress !== plan.baseAddress) {
        await link.service.placeCache(cacheId, cache.plan.baseAddress, timeoutMs);
      }
      return cache;
    } catch (error) {
      // Nobody will ever have it, so it must not be made again with the session either.
      if (cache !== null) await cache.close();
      else link.service.destroyCache(cacheId, timeoutMs).catch(() => undefined);
      throw error;
    }
  }

  async acquire(counts: number[], options: AcquireOptions = {}): Promise<Granted> {
    this.#open('acquire');
    const { extentOrderMax, extentsPerGrantMax } = this.server;
    const checked = validate.orderCounts(counts, extentOrderMax, extentsPerGrantMax);
    const minimumBytes = validate.bytes('minimumBytes', options.minimumBytes ?? 0n);
    const waitMs = validate.waitMs(options.waitMs, this.grantWaitMs);
    const wish = { counts: checked, minimumBytes };
    return this.#untilMet(waitMs, (link, leftMs, limitMs) =>
      this.#grants.request(link, { ...wish, waitMs: leftMs }, limitMs),
    );
  }

  async returnExtents(
    ids: bigint[],
  ): Promise<{ readonly extentCount: number; readonly returnedBytes: bigint }> {
    this.#open('returnExtents');
    if (!Array.isArray(ids)) throw badField('ids', ids, 'an array of extent ids');
    const wanted = new Set(ids.map((id, index) => validate.bytes(`ids[${index}]`, id)));
    if (wanted.size !== ids.length)
      throw badField('ids', `${ids.length} ids, some twice`, 'each extent once');
    if (this.#connection.eviction === null) this.#connection.require('Session.returnExtents');
    const held = this.extents().filter(extent => wanted.has(extent.id));
    this.#memory.returnExtents(BigUint64Array.from(ids));
    await this.#returns.expect(ids);
    return {
      extentCount: held.length,
      returnedBytes: held.reduce((sum, extent) => sum + extent.bytes, 0n),
    };
  }

  extents(): HeldExtent[] {
    this.#open('extents');
    return heldExtents(this.#memory);
  }

  async giveBack(bytes: bigint): Promise<bigint> {
    this.#open('giveBack');
    return this.#giveBack(validate.bytes('bytes', bytes));
  }

  stats(): SessionStats {
    this.#open('stats');
    return {
      ...this.#memory.stats(),
      state: this.state,
      grants: this.#grants.counts(),
      returnedBytes: this.#returns.returnedBytes,
      requestsInFlight: this.#connection.link?.requestsInFlight ?? 0,
      reconnects: this.#connection.reconnects,
    };
  }

  on<Name extends SessionEvent>(event: Name, listener: Listener<Name>): () => void {
    this.#open('on');
    validate.oneOf('event', event, sessionEvents);
    if (typeof listener !== 'function') throw badField('listener', listener, 'a function');
    return this.#listeners.add(event, listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get grantsInFlight(): number {
    return this.#grants.counts().inFlight;
  }

  fetch(wish: GrantWish): Promise<void> {
    return this.#untilMet(wish.waitMs, (link, waitMs, limitMs) =>
      this.#grants.fetch(link, { ...wish, waitMs }, limitMs),
    );
  }

  async fetchUnhurried(wish: GrantWish): Promise<void> {
    const link = this.#connection.require('Session.grant');
    return this.#grants.fetch(link, wish, wish.waitMs + ANSWER_TIMEOUT_MS);
  }

  /** One grant after the other until one is met or time is up. */
  async #untilMet<Answer>(
    allMs: number,
    ask: (link: Link, waitMs: number, limitMs: number) => Promise<Answer>,
  ): Promise<Answer> {
    const deadline = now() + allMs;
    for (;;) {
      const asked = now();
      const waitMs = Math.max(0, deadline - asked);
      try {
        const link = this.#connection.require('Session.grant');
        return await ask(link, waitMs, Math.max(waitMs, GRANT_ANSWER_MS));
      } catch (error) {
        // The daemon lets no grant wait for longer than it likes; a caller may wait on.
        const waited = now() - asked > GRANT_ANSWER_MS;
        const exhausted = error instanceof KvspanError && error.code === 'POOL_EXHAUSTED';
        if (!exhausted || !waited || deadline - now() < GRANT_ANSWER_MS) throw error;
      }
    }
  }

  async cacheClosed(cache: SessionCache): Promise<void> {
    this.reservations.closed(cache);
    const way = this.#connection.returnPath;
    if (way?.open === true)
      await way.service.destroyCache(cache.cacheId, CLOSE_TIMEOUT_MS).catch(() => undefined);
    // Else it is told once there is a session again: until then its addresses are taken.
    if (way?.open === true) this.#caches.delete(cache);
  }

  /** Waits in line at the daemon, as a grant does. */
  async reserve(
    request: Omit<PromiseRequest, 'promiseId'>,
  ): Promise<{ id: bigint; bytes: bigint }> {
    const id = this.#grants.newId();
    const ask = async (link: Link, waitMs: number, limitMs: number): Promise<bigint> => {
      const promised = link.reserve({ ...request, promiseId: id, waitMs });
      return within(promised, limitMs + GRANT_ANSWER_MS, 'a promise').catch((error: unknown) => {
        // It may be made all the same: nobody would use it.
        void promised.then(() => link.updatePromise(id, 0n)).catch(() => undefined);
        void link.cancel(id).catch(() => undefined);
        throw error;
      });
    };
    return { id, bytes: await this.#untilMet(request.waitMs, ask) };
  }

  #reservationOwner(memory: Memory): ReservationOwner {
    const link = () => this.#connection.link;
    return {
      get link() {
        return link();
      },
      pageBytes: this.pageBytes,
      newId: () => this.#grants.newId(),
      draw: async (counts, promiseId, limitMs) => {
        const wish = { counts, minimumBytes: 0n, waitMs: 0, promiseId };
        await this.#grants.fetch(this.#connection.require('Session.draw'), wish, limitMs);
      },
      keep: bytes => {
        if (!this.#memoryClosed) memory.keep(bytes);
      },
      unkeep: bytes => {
        if (!this.#memoryClosed) memory.unkeep(bytes);
      },
      cut: event => void this.#listeners.emit('promiseCut', event),
    };
  }

  async #wishInBackground(wish: GrantWish): Promise<Granted> {
    if (this.#connection.draining || this.#closing !== null) {
      throw new KvspanError('DRAINING', 'no memory is asked for ahead of need any more');
    }
    return this.#grants.request(this.#connection.require('refill'), wish, ANSWER_TIMEOUT_MS);
  }

  async #giveBack(bytes: bigint): Promise<bigint> {
    const released = await this.#memory.giveBack(bytes);
    await this.#returns.acknowledged();
    return released;
  }

  async #restore(link: Link): Promise<bigint> {
    const adoptedBytes = await adoptHeld(this.#memory, link, this.#connection.timeoutMs);
    // Those that were closed meanwhile as well: a daemon that lived on still has them.
    for (const cache of this.#caches) await replant(cache, link, this.#connection.timeoutMs);
    await this.reservations.restore(link);
    return adoptedBytes;
  }

  /** What nobody could be told is told now. */
  #tellWhatWaits(): void {
    this.#returns.resume();
    for (const cache of this.#caches) if (cache.closed) void this.cacheClosed(cache);
  }

  /** Everything back to the daemon while the stream can still say so; the channel goes last. */
  async #close(): Promise<void> {
    this.#connection.stopReconnecting();
    this.reservations.stop();
    try {
      await Promise.all([...this.#caches].map(cache => cache.close()));
      await giveBackAll(this.#memory, this.#connection, this.#grants, this.#returns);
    } finally {
      const closed = new KvspanError('CLOSED', 'the session was closed');
      this.#connection.end(closed);
      this.#grants.failAll(closed);
      this.#returns.interrupt(closed);
      await this.#closeMemory();
    }
  }

  #closeMemory(): Promise<void> {
    this.#memoryClosed = true;
    return this.#memory.close();
  }

  #open(method: string): void {
    if (this.#closing !== null)
      throw new KvspanError('CLOSED', `Session.${method}: the session is closed`);
  }
}
