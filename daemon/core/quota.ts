import type { Session } from './sessions.js';
import { bytes, type Bytes } from './types.js';

/**
 * How much a session may hold. The ledger asks nothing else about who is entitled to what, so
 * tenants (guarantees, limits, weights) come in behind this interface.
 */
export interface QuotaPolicy {
  /** The most that the session may ever hold: more is refused at once, however long it would wait. */
  limitBytes(session: Session): Bytes;
  /** What it may take now. */
  leftBytes(session: Session): Bytes;
}

/** The same fixed limit for every session. */
export function sessionQuota(limitBytes: Bytes): QuotaPolicy {
  return {
    limitBytes: () => limitBytes,
    leftBytes: session => bytes(limitBytes - session.heldBytes),
  };
}
