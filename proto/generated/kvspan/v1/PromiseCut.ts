// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Less is left of a promise than its session thinks.
 */
export interface PromiseCut {
  'promiseId'?: (number | string | Long);
  /**
   * 0: it has ended.
   */
  'leftBytes'?: (number | string | Long);
  /**
   * "lapsed", "guarantee" (another tenant's needed what this one had borrowed) or "entitlement" (its
   * tenant's limit was lowered, or what was free is now held for another).
   */
  'reason'?: (string);
}

/**
 * Less is left of a promise than its session thinks.
 */
export interface PromiseCut__Output {
  'promiseId': (string);
  /**
   * 0: it has ended.
   */
  'leftBytes': (string);
  /**
   * "lapsed", "guarantee" (another tenant's needed what this one had borrowed) or "entitlement" (its
   * tenant's limit was lowered, or what was free is now held for another).
   */
  'reason': (string);
}
