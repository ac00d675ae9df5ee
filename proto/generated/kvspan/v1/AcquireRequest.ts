// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface AcquireRequest {
  /**
   * Chosen by the client, not 0, not in use by another grant of this session in flight: the tag of
   * the extents on the extent channel.
   */
  'grantId'?: (number | string | Long);
  /**
   * How many extents of each order are wanted; index = order. At most extent_order_max + 1 entries.
   */
  'orderCounts'?: (number)[];
  /**
   * If the whole is not to be had the grant may be cut down, in smaller extents, to no less than
   * this. 0: all or nothing.
   */
  'minimumBytes'?: (number | string | Long);
  /**
   * How long the grant may wait for memory that others give back. 0: answer at once.
   */
  'waitMs'?: (number);
  /**
   * Out of this promise of the session, at once and before all who wait; at most what is left of it.
   * What does not arrive is promised again. 0: no promise. Errors: PROMISE_UNKNOWN.
   */
  'promiseId'?: (number | string | Long);
}

export interface AcquireRequest__Output {
  /**
   * Chosen by the client, not 0, not in use by another grant of this session in flight: the tag of
   * the extents on the extent channel.
   */
  'grantId': (string);
  /**
   * How many extents of each order are wanted; index = order. At most extent_order_max + 1 entries.
   */
  'orderCounts': (number)[];
  /**
   * If the whole is not to be had the grant may be cut down, in smaller extents, to no less than
   * this. 0: all or nothing.
   */
  'minimumBytes': (string);
  /**
   * How long the grant may wait for memory that others give back. 0: answer at once.
   */
  'waitMs': (number);
  /**
   * Out of this promise of the session, at once and before all who wait; at most what is left of it.
   * What does not arrive is promised again. 0: no promise. Errors: PROMISE_UNKNOWN.
   */
  'promiseId': (string);
}
