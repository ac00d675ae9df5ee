/** The connected sessions: who they are, how to reach them, how they prove themselves. */
import type { Metadata } from '@grpc/grpc-js';
import type { KvspanError } from '../../proto/errors.js';
import type { SessionId } from '../core/types.js';
import type { ChannelPeer } from '../ports/device.js';
import type { Logger } from '../telemetry/log.js';
import { SessionTokens } from '../transport/session-tokens.js';

/** The daemon's half of a session's Exchange stream. */
export interface EventSink {
  reclaim(reclaim: bigint, wantedBytes: bigint, deadlineMs: number, idleOnly: boolean): void;
  promiseCut(promise: bigint, leftBytes: bigint, reason: string): void;
  draining(deadlineMs: number): void;
  /** Ends the stream; `error` becomes its status. */
  close(error: unknown): void;
}

export interface Session {
  readonly id: SessionId;
  readonly peer: ChannelPeer;
  readonly token: Uint8Array;
  readonly log: Logger;
  /** Null: the client has no stream open. */
  stream: EventSink | null;
  /** Not null: what it is refused with, but for giving back. */
  evicted: KvspanError | null;
}

export class Sessions {
  private readonly byId = new Map<SessionId, Session>();
  private readonly byConnection = new Map<number, Session>();
  private readonly tokens = new SessionTokens<Session>();

  add(session: Session): void {
    this.byId.set(session.id, session);
    this.byConnection.set(session.peer.connection, session);
    this.tokens.add(session.token, session);
  }

  /** From now on it may only give back; its token serves for that until `forget`. */
  evict(session: Session, why: KvspanError): void {
    session.evicted = why;
    this.byId.delete(session.id);
    this.tokens.add(session.token, session);
  }

  /** The process of an evicted session is gone. */
  forget(session: Session): void {
    this.tokens.remove(session.token);
  }

  /** From now on the session's calls are refused. Null: no such session is connected. */
  remove(connection: number): Session | null {
    const session = this.byConnection.get(connection);
    if (session === undefined) return null;
    this.byConnection.delete(connection);
    this.byId.delete(session.id);
    if (session.evicted === null) this.tokens.remove(session.token);
    return session;
  }

  find(id: SessionId): Session | null {
    return this.byId.get(id) ?? null;
  }

  all(): Session[] {
    return [...this.byId.values()];
  }

  /** The session of a call. Throws SESSION_UNKNOWN, SESSION_EVICTED. */
  authenticate(metadata: Metadata): Session {
    const session = this.authenticateToGiveBack(metadata);
    if (session.evicted !== null) throw session.evicted;
    return session;
  }

  /** Of a call that gives something back, which an evicted session may. Throws SESSION_UNKNOWN. */
  authenticateToGiveBack(metadata: Metadata): Session {
    return this.tokens.authenticate(metadata);
  }
}
