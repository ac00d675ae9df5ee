// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface CancelRequest {
  /**
   * A waiting grant of this session. If it was met already it stays met.
   */
  'grantId'?: (number | string | Long);
}

export interface CancelRequest__Output {
  /**
   * A waiting grant of this session. If it was met already it stays met.
   */
  'grantId': (string);
}
