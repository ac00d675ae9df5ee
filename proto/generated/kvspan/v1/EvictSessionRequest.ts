// Original file: proto/kvspan/v1/admin.proto

import type { Long } from '@grpc/proto-loader';

export interface EvictSessionRequest {
  'sessionId'?: (number | string | Long);
  /**
   * Also ends its process, by SIGKILL through the descriptor that the daemon has of it: never another
   * process that has the same number by now.
   */
  'kill'?: (boolean);
}

export interface EvictSessionRequest__Output {
  'sessionId': (string);
  /**
   * Also ends its process, by SIGKILL through the descriptor that the daemon has of it: never another
   * process that has the same number by now.
   */
  'kill': (boolean);
}
