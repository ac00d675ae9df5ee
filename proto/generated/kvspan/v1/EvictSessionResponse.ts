// Original file: proto/kvspan/v1/admin.proto

import type { SessionInfo as _kvspan_v1_SessionInfo, SessionInfo__Output as _kvspan_v1_SessionInfo__Output } from '../../kvspan/v1/SessionInfo.js';

export interface EvictSessionResponse {
  /**
   * Whom it was, and what it still holds.
   */
  'session'?: (_kvspan_v1_SessionInfo | null);
  /**
   * The signal was sent; the memory is free once `ListSessions` has the session no more.
   */
  'killed'?: (boolean);
}

export interface EvictSessionResponse__Output {
  /**
   * Whom it was, and what it still holds.
   */
  'session': (_kvspan_v1_SessionInfo__Output | null);
  /**
   * The signal was sent; the memory is free once `ListSessions` has the session no more.
   */
  'killed': (boolean);
}
