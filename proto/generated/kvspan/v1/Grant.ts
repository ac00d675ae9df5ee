// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface Grant {
  'grantId'?: (number | string | Long);
  'extentCount'?: (number);
  'grantedBytes'?: (number | string | Long);
  /**
   * The session's account after it.
   */
  'heldBytes'?: (number | string | Long);
}

export interface Grant__Output {
  'grantId': (string);
  'extentCount': (number);
  'grantedBytes': (string);
  /**
   * The session's account after it.
   */
  'heldBytes': (string);
}
