/**
 * A session's connection to the daemon, which may end at any moment and is then made again:
 *
 *   connected --(stream or channel ends)--> disconnected --(re-established)--> connected
 *        \------------------ close ---------------+--> closed
 */
import { KvspanError } from '../../proto/errors.js';
import { checkSameDevice, type Daemon, enter, findDaemon, type Meeting } from './establish.js';
import type { Listeners } from './events.js';
import type { Link, LinkEvents } from './link.js';
import type { Memory } from './mapping/memory.js';
import { keepTrying } from './reconnect.js';
import type { ServerInfo } from './service.js';

export interface ConnectionHooks {
  /** Others wait for memory. */
  reclaim(link: Link, reclaimId: bigint, wantedBytes: bigint, deadlineMs: number): void;
  /** Nothing that was on its way will arrive. */
  lost(error: KvspanError): void;
  /**
   * Puts what the process holds on a new session's account; nothing may be released from its
   * beginning until the link is installed. Returns how many bytes.
   */
  restore(link: Link): Promise<bigint>;
}

export class Connection {
  #link: Link | null = null;
  #server: ServerInfo;
  #sessionId = 0n;
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

  get server(): ServerInfo {
    return this.#server;
  }

  get sessionId(): bigint {
    return this.#sessionId;
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
    this.#install(await this.#enter(daemon));
  }

  /** The link, or why there is none; `method` is who needs it. */
  require(method: string): Link {
    if (this.#link !== null) return this.#link;
    if (this.#stop.signal.aborted) throw new KvspanError('CLOSED', `${method}: the session is closed`);
    const where = this.meeting.socketDirectory;
    throw new KvspanError('DAEMON_UNAVAILABLE', `${method}: the daemon at ${where} is away; spans stay usable`);
  }

  channelClosed(reason: string): void {
    this.#lost(new KvspanError('DAEMON_UNAVAILABLE', `the extent channel is closed: ${reason}`));
  }

  /** No attempt begins after this; the link stays until `end`. */
  stopReconnecting(): void {
    this.#stop.abort();
  }

  end(error: KvspanError): void {
    const link = this.#link;
    this.#link = null;
    link?.close(error);
  }

  #enter(daemon: Daemon): Promise<Link> {
    this.#broken = null;
    const events: LinkEvents = {
      reclaim: (reclaimId, wantedBytes, deadlineMs) => {
        if (this.#link !== null) this.hooks.reclaim(this.#link, reclaimId, wantedBytes, deadlineMs);
      },
      draining: (deadlineMs) => {
        this.#draining = true;
        void this.listeners.emit('draining', { deadlineMs });
      },
      ended: (error) => this.#lost(error),
    };
    return enter(this.memory, daemon, this.meeting, events);
  }

  #install(link: Link): void {
    if (this.#broken !== null) {
      link.close();
      throw this.#broken;
    }
    this.#link = link;
    this.#sessionId = link.sessionId;
    this.#server = link.server;
    this.#draining = false;
  }

  /** The daemon went away, in whichever way it showed first. */
  #lost(error: KvspanError): void {
    this.#broken ??= error;
    if (this.#link === null) return;
    const gone = new KvspanError('DAEMON_UNAVAILABLE', error.message, { cause: error });
    this.end(gone);
    this.memory.disconnect();
    this.hooks.lost(gone);
    if (this.#stop.signal.aborted) return;
    void this.listeners.emit('disconnected', { error: gone, willReconnect: this.reconnect });
    if (this.reconnect) void keepTrying((attempt) => this.#tryAgain(attempt), this.#stop.signal);
  }

  /** False: not this time. */
  async #tryAgain(attempts: number): Promise<boolean> {
    let adoptedBytes: bigint;
    try {
      adoptedBytes = await this.#reestablish();
    } catch (error) {
      if (this.#stop.signal.aborted) return true;
      const refusal = error instanceof KvspanError ? error : new KvspanError('INTERNAL', String(error), { cause: error });
      // A daemon that is not there yet is no news; one that refuses is.
      if (refusal.code !== 'DAEMON_UNAVAILABLE') {
        void this.listeners.emit('disconnected', { error: refusal, willReconnect: true });
      }
      return false;
    }
    this.#reconnects++;
    void this.listeners.emit('reconnected', { sessionId: this.#sessionId, adoptedBytes, attempts });
    return true;
  }

  async #reestablish(): Promise<bigint> {
    const daemon = await findDaemon(this.meeting);
    let link: Link | null = null;
    try {
      checkSameDevice(this.#server, daemon.server);
      link = await this.#enter(daemon);
      const adoptedBytes = await this.hooks.restore(link);
      if (this.#stop.signal.aborted) throw new KvspanError('CLOSED', 'the session was closed');
      this.#install(link);
      return adoptedBytes;
    } catch (error) {
      daemon.service.close();
      link?.close();
      this.memory.disconnect();
      throw error;
    } finally {
      // Only now: what is released from here on is told to the new daemon.
      this.memory.resumeReleases();
    }
  }
}
