// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface AdoptRequest {
  'extentIds'?: (number | string | Long)[];
  /**
   * As many as extent_ids: page_bytes << order each.
   */
  'extentOrders'?: (number)[];
}

export interface AdoptRequest__Output {
  'extentIds': (string)[];
  /**
   * As many as extent_ids: page_bytes << order each.
   */
  'extentOrders': (number)[];
}
