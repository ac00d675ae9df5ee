import { KvspanError, type Holder } from '../../proto/errors.js';
import { HOLDERS_MAX } from './limits.js';
import type { Session } from './sessions.js';

/** The largest holders, the largest first; one pass over the sessions, only ever made to refuse. */
export function largestHolders(sessions: Iterable<Session>): Holder[] {
  const largest: Session[] = [];
  for (const session of sessions) {
    if (session.heldBytes === 0n) continue;
    const place = largest.findIndex(other => other.heldBytes < session.heldBytes);
    if (place === -1 && largest.length >= HOLDERS_MAX) continue;
    largest.splice(place === -1 ? largest.length : place, 0, session);
    largest.length = Math.min(largest.length, HOLDERS_MAX);
  }
  return largest.map(({ id, peer, heldBytes }) => ({ sessionId: id, pid: peer.pid, heldBytes }));
}

export interface Shortage {
  readonly code: 'POOL_EXHAUSTED' | 'QUOTA_EXHAUSTED';
  readonly askedBytes: bigint;
  /** What the session could have had: of the pool, or of its quota. */
  readonly freeBytes: bigint;
  readonly limitBytes: bigint;
  readonly holders: readonly Holder[];
  /** What else there is to say, e.g. how long it waited. */
  readonly remark: string;
}

/** Memory was asked that is not to be had: says how much, what is free, what is allowed, who has the rest. */
export function shortage({
  code,
  askedBytes,
  freeBytes,
  limitBytes,
  holders,
  remark,
}: Shortage): KvspanError {
  const what = code === 'POOL_EXHAUSTED' ? 'pool' : 'session limit';
  const who = holders
    .map(({ sessionId, pid, heldBytes }) => `session ${sessionId} (pid ${pid}) ${heldBytes}`)
    .join(', ');
  const message =
    `${what}: asked ${askedBytes} bytes, free ${freeBytes} of ${limitBytes}` +
    `${remark === '' ? '' : `; ${remark}`}; held by ${who === '' ? 'nobody' : who}`;
  return new KvspanError(code, message, { askedBytes, freeBytes, limitBytes, holders });
}
