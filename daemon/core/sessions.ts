import { KvspanError } from '../../proto/errors.js';
import type { Extent, InFlight } from './extents.js';
import type { Cache } from './caches.js';
import type { Promised } from './promises.js';
import type { Tenant } from './tenants.js';
import type { Waiter } from './waiting.js';
import { bytes } from './types.js';
import type { Bytes, CacheId, GrantId, Instant, Peer, SessionId } from './types.js';

/** A reclaim that a session has neither reported nor let pass. */
export interface AskedBack {
  readonly id: bigint;
  readonly deadline: Instant;
  readonly wantedBytes: bigint;
  /** It was asked for idle memory alone, which it may have none of. */
  readonly idleOnly: boolean;
  /** It is for another tenant's guarantee, and whether it came has not been looked at yet. */
  forGuarantee: boolean;
  /** What it holds once it has brought all of it. */
  readonly levelBytes: bigint;
  /** What is still to come of it. */
  leftBytes: bigint;
}

/** The account of one serving process. `exited` stays only until its grants in flight are settled. */
export interface Session {
  readonly id: SessionId;
  readonly peer: Peer;
  readonly tenant: Tenant;
  readonly openedAt: Instant;
  state: 'open' | 'lingering' | 'exited';
  /** Charged: the sum of `extents`. */
  heldBytes: Bytes;
  readonly extents: Set<Extent>;
  readonly inFlight: Map<GrantId, InFlight>;
  /** In the order of asking: the first goes first. */
  readonly waiting: Waiter[];
  readonly caches: Map<CacheId, Cache>;
  readonly promises: Map<GrantId, Promised>;
  /** Kept free for it: the sum of `promises`. */
  promisedBytes: bigint;
  askedBack: AskedBack | null;
  /** It answered a reclaim with nothing, and has given nothing back since. */
  barren: boolean;
  /** It said that nothing of it is idle: not asked for idle memory again before. */
  idleNotBefore: Instant;
  /** Not null: it owes what a guarantee needed, and is served last while it holds more than this. */
  overdueAboveBytes: bigint | null;
  overdueCount: number;
  /** It may only give back, and keeps its place until its process exits, so that this stays out. */
  evicted: boolean;
}

export function evictedError(id: SessionId, pid: number, what: string): KvspanError {
  return new KvspanError(
    'SESSION_EVICTED',
    `session ${id} of process ${pid} was evicted by an administrator: ${what}`,
  );
}

/** Charged, and not known to have arrived. */
export function inFlightBytes({ inFlight }: Session): Bytes {
  let total = 0n;
  for (const { extents } of inFlight.values()) for (const extent of extents) total += extent.bytes;
  return bytes(total);
}

/** The session holds less than before: it may have brought what it owed. */
export function forgiveOverdue(session: Session): void {
  const { overdueAboveBytes, heldBytes } = session;
  if (overdueAboveBytes !== null && heldBytes <= overdueAboveBytes)
    session.overdueAboveBytes = null;
}

/**
 * True if `other` is what the session's own process left behind when an earlier connection ended,
 * in the same tenant: memory never passes from one tenant's account to another's. What an evicted
 * session has stays on its account, where whoever evicted it looks for it.
 * Its pid cannot be another process's by now: the exit of the one that had it would have been told.
 */
export function isLeftBehind(other: Session, by: Session): boolean {
  return (
    other.state === 'lingering' &&
    !other.evicted &&
    other.peer.pid === by.peer.pid &&
    other.peer.uid === by.peer.uid &&
    other.tenant === by.tenant
  );
}

/** The sessions by id, in the order of opening. */
export class SessionTable {
  private readonly byId = new Map<SessionId, Session>();

  get count(): number {
    return this.byId.size;
  }

  [Symbol.iterator](): IterableIterator<Session> {
    return this.byId.values();
  }

  add(session: Session): void {
    this.byId.set(session.id, session);
  }

  /** An account with nothing left on it, of a connection that is gone, is closed. */
  forgetIfEmpty(session: Session): void {
    const { state, extents, inFlight, caches } = session;
    const left = state === 'exited' ? inFlight.size : extents.size + inFlight.size + caches.size;
    const keepsOut = session.evicted && state !== 'exited';
    if (state !== 'open' && left === 0 && !keepsOut) this.byId.delete(session.id);
  }

  any(id: SessionId): Session {
    const session = this.byId.get(id);
    if (session === undefined)
      throw new KvspanError('SESSION_UNKNOWN', `session: no session ${String(id)}`);
    return session;
  }

  /** Throws SESSION_EVICTED for a process one of whose sessions was evicted. */
  admit(peer: Peer): void {
    for (const { id, peer: other, evicted, state } of this) {
      if (!evicted || state === 'exited' || other.pid !== peer.pid || other.uid !== peer.uid)
        continue;
      throw evictedError(id, peer.pid, 'to come back it must be started anew');
    }
  }

  /** A session whose process lives: it may give back, connected or not. */
  living(id: SessionId): Session {
    const session = this.any(id);
    if (session.state === 'exited')
      throw new KvspanError('SESSION_UNKNOWN', `session: the process of session ${id} is gone`);
    return session;
  }

  /** A connected session: only such a one may ask for anything. */
  open(id: SessionId): Session {
    const session = this.living(id);
    if (session.evicted) throw evictedError(id, session.peer.pid, 'it may only give back');
    if (session.state !== 'open')
      throw new KvspanError('SESSION_UNKNOWN', `session: session ${id} is closed`);
    return session;
  }
}
