// Original file: proto/kvspan/v1/admin.proto

import type { Long } from '@grpc/proto-loader';

export interface ListCachesRequest {
  /**
   * 0: of all sessions.
   */
  'sessionId'?: (number | string | Long);
}

export interface ListCachesRequest__Output {
  /**
   * 0: of all sessions.
   */
  'sessionId': (string);
}
