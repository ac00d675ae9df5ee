// Original file: proto/kvspan/v1/admin.proto

import type { Long } from '@grpc/proto-loader';

/**
 * A process that has another amount than it is charged.
 */
export interface ProcessDifference {
  'pid'?: (number);
  'chargedBytes'?: (number | string | Long);
  'foundBytes'?: (number | string | Long);
}

/**
 * A process that has another amount than it is charged.
 */
export interface ProcessDifference__Output {
  'pid': (number);
  'chargedBytes': (string);
  'foundBytes': (string);
}
