// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface CancelRequest {
  /**
   * A grant or promise of this session that waits. If it was met already it stays met.
   */
  'grantId'?: (number | string | Long);
}

export interface CancelRequest__Output {
  /**
   * A grant or promise of this session that waits. If it was met already it stays met.
   */
  'grantId': (string);
}
