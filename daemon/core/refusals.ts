import { badField, KvspanError, type Holder } from '../../proto/errors.js';
import type { GrantOrder } from './grants.js';
import { HOLDERS_MAX } from './limits.js';
import type { Promised } from './promises.js';
import type { Session } from './sessions.js';
import type { Effect } from './types.js';
import type { Waiter } from './waiting.js';

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

/** Who owes what a guarantee needed, for a refusal to name; '' if nobody does. */
export function overdueRemark(sessions: Iterable<Session>): string {
  const owing = [...sessions].filter(({ overdueAboveBytes }) => overdueAboveBytes !== null);
  const told = owing.slice(0, HOLDERS_MAX).map(({ id, peer, heldBytes, overdueAboveBytes }) => {
    return `session ${id} (pid ${peer.pid}) ${heldBytes - (overdueAboveBytes ?? 0n)}`;
  });
  return told.length === 0 ? '' : `not given back in time by ${told.join(', ')}`;
}

export type ShortageCode = 'POOL_EXHAUSTED' | 'QUOTA_EXHAUSTED' | 'TENANT_LIMIT';

export interface Shortage {
  readonly code: ShortageCode;
  /** What has the limit. */
  readonly of: string;
  readonly askedBytes: bigint;
  /** What the session could have had: of the pool, of its quota, or of its tenant's limit. */
  readonly freeBytes: bigint;
  readonly limitBytes: bigint;
  readonly holders: readonly Holder[];
  /** What else there is to say, e.g. how long it waited. */
  readonly remark: string;
}

/** Memory was asked that is not to be had: says how much, what is free, what is allowed, who has the rest. */
export function shortage({
  code,
  of,
  askedBytes,
  freeBytes,
  limitBytes,
  holders,
  remark,
}: Shortage): KvspanError {
  const who = holders
    .map(({ sessionId, pid, heldBytes }) => `session ${sessionId} (pid ${pid}) ${heldBytes}`)
    .join(', ');
  const message =
    `${of}: asked ${askedBytes} bytes, free ${freeBytes} of ${limitBytes}` +
    `${remark === '' ? '' : `; ${remark}`}; held by ${who === '' ? 'nobody' : who}`;
  return new KvspanError(code, message, { askedBytes, freeBytes, limitBytes, holders });
}

/** With what is left, for a client that thinks there is more. */
export function overdrawn(
  { id, bytes: freeBytes }: Promised,
  { neededBytes }: GrantOrder,
): KvspanError {
  const allowed = `at most ${freeBytes} bytes, what is left of promise ${id}`;
  const { code, message, field } = badField('order_counts', `${neededBytes} bytes`, allowed);
  return new KvspanError(code, message, { field, askedBytes: neededBytes, freeBytes });
}

export function cancelled(waiter: Waiter, why: string): Effect {
  return refuse(waiter, new KvspanError('GRANT_CANCELLED', `grant ${waiter.order.grant}: ${why}`));
}

export function refuse({ session, order }: Waiter, error: KvspanError): Effect {
  return { kind: 'refuse', session: session.id, grant: order.grant, error };
}
