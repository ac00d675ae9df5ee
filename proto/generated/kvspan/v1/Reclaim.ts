// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Somebody waits for memory: please give back what you can spare, in this order: magazine, idle
 * spans, look-ahead; then, unless only idle memory is asked for, what requests that end make free.
 */
export interface Reclaim {
  'reclaimId'?: (number | string | Long);
  'wantedBytes'?: (number | string | Long);
  'deadlineMs'?: (number);
  /**
   * The session is within its share: only what lies idle is asked for, and nothing at all is a good
   * answer. It is never held against anybody; a report makes the daemon ask others at once.
   */
  'idleOnly'?: (boolean);
}

/**
 * Somebody waits for memory: please give back what you can spare, in this order: magazine, idle
 * spans, look-ahead; then, unless only idle memory is asked for, what requests that end make free.
 */
export interface Reclaim__Output {
  'reclaimId': (string);
  'wantedBytes': (string);
  'deadlineMs': (number);
  /**
   * The session is within its share: only what lies idle is asked for, and nothing at all is a good
   * answer. It is never held against anybody; a report makes the daemon ask others at once.
   */
  'idleOnly': (boolean);
}
