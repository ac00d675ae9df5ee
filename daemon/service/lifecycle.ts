/**
 * A session's life as the extent channel tells it: hello opens it, closed ends its calls, exited
 * frees what its process had. An administrator may end its calls before that: evicted.
 */
import { KvspanError } from '../../proto/errors.js';
import type { Ledger, SessionView } from '../core/ledger.js';
import { evictedError } from '../core/sessions.js';
import type { SessionId } from '../core/types.js';
import type { Clock } from '../ports/clock.js';
import type { ChannelEvent, ChannelPeer, ExtentChannel } from '../ports/device.js';
import type { Random } from '../ports/tokens.js';
import type { Logger } from '../telemetry/log.js';
import type { EffectRunner } from './effects.js';
import type { Session, Sessions } from './sessions.js';

export interface LifecyclePorts {
  readonly ledger: Ledger;
  readonly sessions: Sessions;
  readonly effects: EffectRunner;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly servicePath: string;
  channel(): ExtentChannel;
}

export class Lifecycle {
  /** Closed connections whose process has not exited yet. */
  private readonly lingering = new Map<number, Session>();

  private draining = false;

  constructor(private readonly ports: LifecyclePorts) {}

  /** From now on nobody new is let in: a client that comes now waits for the next daemon. */
  drain(): void {
    this.draining = true;
  }

  /** Never throws: it is called from the channel's threads' queue, where nobody would catch. */
  onEvent(event: ChannelEvent): void {
    try {
      if (event.kind === 'hello') this.hello(event.peer);
      else if (event.kind === 'closed') this.closed(event.connection, event.reason);
      else this.exited(event.connection);
    } catch (error) {
      this.ports.log.error({ err: error }, `the channel's event ${event.kind} met a fault`);
    }
  }

  private hello(peer: ChannelPeer): void {
    this.sweep();
    let id: SessionId;
    try {
      if (this.draining) throw new KvspanError('DRAINING', 'the daemon is shutting down');
      id = this.ports.ledger.openSession(peer, this.ports.clock.now());
    } catch (error) {
      this.refuse(peer, error);
      return;
    }
    this.open(id, peer);
  }

  private refuse(peer: ChannelPeer, error: unknown): void {
    const known = error instanceof KvspanError;
    const code = known ? error.code : 'INTERNAL';
    const message = known ? error.message : "internal error: see the daemon's log";
    this.ports.log.warn(
      { pid: peer.pid, uid: peer.uid, code, ...(known ? {} : { err: error }) },
      'a session was refused',
    );
    this.ports.channel().refuse(peer.connection, code, message);
  }

  private open(id: SessionId, peer: ChannelPeer): void {
    const log = this.ports.log.child({ session: id, pid: peer.pid });
    const token = this.ports.random.token();
    const session: Session = { id, peer, token, log, stream: null, evicted: null };
    // Before the welcome: the client may call as soon as it has its token.
    this.ports.sessions.add(session);
    try {
      this.ports.channel().welcome(peer.connection, id, session.token, this.ports.servicePath);
    } catch (error) {
      log.warn({ err: error }, 'the client was gone before its welcome');
      this.closed(peer.connection, 'gone before its welcome');
      this.exited(peer.connection);
      return;
    }
    const { tenant } = this.ports.ledger.session(id);
    const { uid, name, connection } = peer;
    log.info({ uid, name, tenant, connection }, 'session opened');
  }

  /**
   * Puts a session out: it may only give back from now on. With `kill` its process is ended, too.
   * Throws SESSION_UNKNOWN, and PERMISSION_DENIED for a process that may not be killed, having done
   * nothing.
   */
  evict(id: SessionId, kill: boolean): SessionView {
    const { ledger, sessions, effects, clock } = this.ports;
    const session = sessions.find(id) ?? this.closedOf(id);
    // A closed one of which a later session of its process has taken over everything is none any more.
    if (session === null || !this.isKnown(session))
      throw new KvspanError('SESSION_UNKNOWN', `session_id: no session ${id}`, {
        field: 'session_id',
      });
    const { connection, pid, uid, name } = session.peer;
    if (kill) this.ports.channel().kill(connection);
    const followUps = ledger.evict(id, clock.now());
    const view = ledger.session(id);
    const { heldBytes: bytes, tenant } = view;
    session.log.warn(
      { uid, name, tenant, bytes, killed: kill },
      'session evicted by the administrator',
    );
    if (session.evicted === null) {
      const why = evictedError(id, pid, 'it may only give back what it holds');
      sessions.evict(session, why);
      this.lingering.set(connection, session);
      session.stream?.close(why);
      this.ports.channel().disconnect(connection);
    }
    effects.run(followUps);
    return view;
  }

  private closedOf(id: SessionId): Session | null {
    return [...this.lingering.values()].find(session => session.id === id) ?? null;
  }

  private closed(connection: number, reason: string): void {
    const session = this.ports.sessions.remove(connection);
    if (session === null) return;
    session.stream?.close(
      new KvspanError('SESSION_UNKNOWN', `session ${session.id} is closed: ${reason}`),
    );
    this.ports.effects.run(this.ports.ledger.sessionClosed(session.id, this.ports.clock.now()));
    const { heldBytes } = this.ports.ledger.session(session.id);
    session.log.info({ bytes: heldBytes, reason }, 'session closed');
    // A process that holds nothing is not waited for: one that reconnects often keeps one session. One
    // that was evicted is: it stays out until it exits.
    if (heldBytes === 0n && session.evicted === null) {
      this.forget(session);
      this.ports.channel().forget(connection);
    } else this.lingering.set(connection, session);
  }

  /** A later session of their process has taken over or returned all that these still had. */
  private sweep(): void {
    for (const [connection, session] of this.lingering) {
      if (this.isKnown(session)) continue;
      this.lingering.delete(connection);
      this.ports.channel().forget(connection);
    }
  }

  private isKnown({ id }: Session): boolean {
    try {
      this.ports.ledger.session(id);
      return true;
    } catch {
      return false;
    }
  }

  private exited(connection: number): void {
    const session = this.lingering.get(connection);
    if (session === undefined) return;
    this.lingering.delete(connection);
    this.ports.sessions.forget(session);
    this.forget(session);
  }

  private forget(session: Session): void {
    const { ledger, effects, clock } = this.ports;
    // A later session of the process may have taken all of it over: then the ledger has forgotten it.
    if (!this.isKnown(session)) return;
    effects.run(ledger.sessionExited(session.id, clock.now()));
    session.log.info({}, 'session ended, its memory is free');
  }
}
