// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Somebody waits for memory: please give back what you can spare, in this order: magazine, idle
 * spans, look-ahead.
 */
export interface Reclaim {
  'reclaimId'?: (number | string | Long);
  'wantedBytes'?: (number | string | Long);
  'deadlineMs'?: (number);
}

/**
 * Somebody waits for memory: please give back what you can spare, in this order: magazine, idle
 * spans, look-ahead.
 */
export interface Reclaim__Output {
  'reclaimId': (string);
  'wantedBytes': (string);
  'deadlineMs': (number);
}
