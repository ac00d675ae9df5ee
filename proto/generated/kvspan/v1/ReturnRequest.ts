// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface ReturnRequest {
  /**
   * Ids of extents that the client has unmapped everywhere and released.
   */
  'extentIds'?: (number | string | Long)[];
}

export interface ReturnRequest__Output {
  /**
   * Ids of extents that the client has unmapped everywhere and released.
   */
  'extentIds': (string)[];
}
