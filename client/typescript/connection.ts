/**
 * A session's connection to the daemon, which may end at any moment and is then made again:
 *
 *   connected --(stream ends)---> disconnected --(a new stream)------------------> connected
 *   connected --(channel ends)--> disconnected --(a new session, which adopts)---> connected
 *   any of both --(SESSION_EVICTED)--> evicted, for good
 */
import { type ErrorCode, KvspanError } from '../../proto/errors.js';
import { checkSameDevice, type Daemon, enter, findDaemon, type Meeting } from './establish.js';
import type { Listeners } from './events.js';
import { Eviction } from './eviction.js';
import { Link, type LinkEvents, type SessionCredentials } from './link.js';
import type { Memory } from './mapping/memory.js';
import type { Asked } from './reclaiming.js';
import { keepTrying } from './reconnect.js';
import type { ServerInfo } from './service.js';

export interface ConnectionHooks {
  /** Others wait for memory. */
  reclaim(link: Link, asked: Asked): void;
  /** A promise is less than it was. */
  promiseCut(promiseId: bigint, leftBytes: bigint, reason: string): void;
  /** There is a link again. */
  installed(): void;
  /** There will be no link again; what is released can be told through `eviction`. */
  evicted(): void;
  /** Nothing that was asked for will be answered. */
  lost(error: KvspanError): void;
  /**
   * Puts what the process holds on a new session's account; nothing may be released from its
   * beginning until the link is installed. Returns how many bytes.
   */
  restore(link: Link): Promise<bigint>;
}

/** The extent channel is the faster one: what was sent on the stream before its end is under way. */
const LAST_WORDS_MS = 50;

export class Connection {
  #link: Link | null = null;
  #server: ServerInfo;
  #sessionId = 0n;
  /** Null: the session has ended, only a new one will do. */
  #credentials: SessionCredentials | null = null;
  /** Of the latest session, ended or not. */
  #token: Uint8Array | null = null;
  #eviction: Eviction | null = null;
  #lastRefusal: ErrorCode | null = null;
  #draining = false;
  #reconnects = 0;
  /** What broke the connection that is being established, if something did. */
  #broken: KvspanError | null = null;
  readonly #stop = new AbortController();

  constructor(
    server: ServerInfo,
    private readonly meeting: Meeting,
    private readonly reconnect: boolean,
    private readonly memory: Memory,
    private readonly listeners: Listeners,
    private readonly hooks: ConnectionHooks,
  ) {
    this.#server = server;
  }

  /** Null: the daemon is away. */
  get link(): Link | null {
    return this.#link;
  }

  /** Not null: an administrator has put the session out, for good. */
  get eviction(): Eviction | null {
    return this.#eviction;
  }

  /** By which memory can be given back; null: nobody is there to take it. */
  get returnPath(): Link | Eviction | null {
    return this.link ?? this.#eviction;
  }

  get server(): ServerInfo {
    return this.#server;
  }

  get sessionId(): bigint {
    return this.#link?.sessionId ?? this.#sessionId;
  }

  get draining(): boolean {
    return this.#draining;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  get timeoutMs(): number {
    return this.meeting.timeoutMs;
  }

  async begin(daemon: Daemon): Promise<void> {
    this.#install(await enter(this.memory, daemon, this.meeting, this.#events()));
  }

  /** The link, or why there is none; `method` is who needs it. */
  require(method: string): Link {
    if (this.#link !== null) return this.#link;
    if (this.#eviction !== null)
      throw new KvspanError('SESSION_EVICTED', `${method}: ${this.#eviction.error.message}`);
    if (this.#stop.signal.aborted)
      throw new KvspanError('CLOSED', `${method}: the session is closed`);
    const where = this.meeting.socketDirectory;
    throw new KvspanError(
      'DAEMON_UNAVAILABLE',
      `${method}: the daemon at ${where} is away; spans stay usable`,
    );
  }

  /** With the channel the session itself ends; the stream may still bring why. */
  channelClosed(reason: string): void {
    const link = this.#link;
    const error = new KvspanError('DAEMON_UNAVAILABLE', `the extent channel is closed: ${reason}`);
    this.#credentials = null;
    this.#broken ??= error;
    if (link === null) return;
    setTimeout(() => {
      if (this.#link === link) this.#lost(error);
    }, LAST_WORDS_MS);
  }

  /** No attempt begins after this; the link stays until `end`. */
  stopReconnecting(): void {
    this.#stop.abort();
  }

  end(error: KvspanError): void {
    const link = this.#link;
    this.#link = null;
    link?.close(error);
    this.#eviction?.close();
  }

  #events(): LinkEvents {
    this.#broken = null;
    return {
      reclaim: (reclaimId, wantedBytes, deadlineMs, idleOnly) => {
        const asked = { reclaimId, wantedBytes, deadlineMs, idleOnly };
        if (this.#link !== null) this.hooks.reclaim(this.#link, asked);
      },
      promiseCut: (...cut) => this.hooks.promiseCut(...cut),
      draining: deadlineMs => {
        this.#draining = true;
        void this.listeners.emit('draining', { deadlineMs });
      },
      ended: error => this.#lost(error),
    };
  }

  #install(link: Link): void {
    if (this.#broken !== null) throw this.#broken;
    if (this.#stop.signal.aborted) throw new KvspanError('CLOSED', 'the session was closed');
    this.#link = link;
    this.#credentials = link;
    this.#token = link.token;
    this.#server = link.server;
    this.#draining = false;
    this.hooks.installed();
  }

  /** The daemon went away, in whichever way it showed first. */
  #lost(error: KvspanError): void {
    this.#broken ??= error;
    if (this.#link === null) return;
    this.#sessionId = this.#link.sessionId;
    const evicted = isEviction(error);
    const gone = evicted
      ? error
      : new KvspanError('DAEMON_UNAVAILABLE', error.message, { cause: error });
    this.end(gone);
    this.hooks.lost(gone);
    // Also of a session that is closing: the rest is given back in the way that is left.
    if (evicted) return this.#evicted(error);
    if (this.#stop.signal.aborted) return;
    void this.listeners.emit('disconnected', { error: gone, willReconnect: this.reconnect });
    this.#lastRefusal = null;
    if (this.reconnect) void keepTrying(attempt => this.#tryAgain(attempt), this.#stop.signal);
  }

  /** False: not this time. */
  async #tryAgain(attempts: number): Promise<boolean> {
    let adoptedBytes: bigint;
    try {
      adoptedBytes = await this.#reestablish();
    } catch (error) {
      if (this.#stop.signal.aborted) return true;
      if (isEviction(error)) {
        this.#evicted(error as KvspanError);
        return true;
      }
      this.#refused(error);
      return false;
    }
    this.#reconnects++;
    void this.listeners.emit('reconnected', { sessionId: this.sessionId, adoptedBytes, attempts });
    return true;
  }

  /** No session of this process will be let in again; what it has it may give back. */
  #evicted(error: KvspanError): void {
    this.#eviction = new Eviction(error, this.meeting.socketDirectory, this.#token);
    void this.listeners.emit('disconnected', { error, willReconnect: false });
    this.hooks.evicted();
  }

  /** A daemon that is not there yet is no news; one that refuses is, once for each reason. */
  #refused(cause: unknown): void {
    const known = cause instanceof KvspanError;
    const error = known ? cause : new KvspanError('INTERNAL', String(cause), { cause });
    if (error.code === 'DAEMON_UNAVAILABLE' || error.code === this.#lastRefusal) return;
    this.#lastRefusal = error.code;
    void this.listeners.emit('disconnected', { error, willReconnect: true });
  }

  async #reestablish(): Promise<bigint> {
    if (this.#credentials !== null && (await this.#resume(this.#credentials))) return 0n;
    return this.#beginAgain();
  }

  async #findSameDaemon(): Promise<Daemon> {
    const daemon = await findDaemon(this.meeting);
    try {
      checkSameDevice(this.#server, daemon.server);
      return daemon;
    } catch (error) {
      daemon.service.close();
      throw error;
    }
  }

  /**
   * Only the stream ended: the extent channel stands, and with it the session. False: the daemon
   * does not know the session any more.
   */
  async #resume(credentials: SessionCredentials): Promise<boolean> {
    const { service, server } = await this.#findSameDaemon();
    let link: Link | null = null;
    try {
      const { timeoutMs } = this.meeting;
      link = await Link.open(credentials, service, server, this.#events(), timeoutMs);
      this.#install(link);
      return true;
    } catch (error) {
      // A stream outlives the service it was opened with.
      link?.close();
      service.close();
      if (!(error instanceof KvspanError) || error.code !== 'SESSION_UNKNOWN') throw error;
      this.#credentials = null;
      return false;
    }
  }

  /** A new session, which takes on everything that the process holds. */
  async #beginAgain(): Promise<bigint> {
    const daemon = await this.#findSameDaemon();
    this.memory.disconnect();
    let link: Link | null = null;
    try {
      link = await enter(this.memory, daemon, this.meeting, this.#events());
      const adoptedBytes = await this.hooks.restore(link);
      this.#install(link);
      return adoptedBytes;
    } catch (error) {
      link?.close();
      this.memory.disconnect();
      throw error;
    } finally {
      // Only now: what is released from here on is told to the new daemon.
      this.memory.resumeReleases();
    }
  }
}

const isEviction = (error: unknown): boolean =>
  error instanceof KvspanError && error.code === 'SESSION_EVICTED';
