// Original file: proto/kvspan/v1/admin.proto

import type { SessionInfo as _kvspan_v1_SessionInfo, SessionInfo__Output as _kvspan_v1_SessionInfo__Output } from '../../kvspan/v1/SessionInfo.js';

export interface ListSessionsResponse {
  'sessions'?: (_kvspan_v1_SessionInfo)[];
}

export interface ListSessionsResponse__Output {
  'sessions': (_kvspan_v1_SessionInfo__Output)[];
}
