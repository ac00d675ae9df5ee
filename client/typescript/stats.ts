/** What a session and its caches say of themselves. Bytes are bytes, times microseconds. */
import type { GrantCounts } from './grants.js';
import type { MemoryStats, NativeCache } from './mapping/memory.js';

/** Of the native core: spans, and steps by what they had to do. */
export type CacheStats = ReturnType<NativeCache['stats']>;

/** `evicted`: an administrator has put the session out; it stays so. */
export type SessionState = 'connected' | 'disconnected' | 'evicted' | 'closed';

export interface SessionStats extends MemoryStats {
  readonly state: SessionState;
  readonly grants: GrantCounts;
  /** Given back to the daemon, and acknowledged by it. */
  readonly returnedBytes: bigint;
  /** Requests on the stream that wait for an answer. */
  readonly requestsInFlight: number;
  /** How often the session was established again. */
  readonly reconnects: number;
}
