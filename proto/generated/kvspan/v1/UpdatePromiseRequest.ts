// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

/**
 * The client needs no more of the promise than this, because the slot has grown by other memory, or
 * its request has ended (0, which ends it). More than is left of it changes nothing. Renews it.
 */
export interface UpdatePromiseRequest {
  'promiseId'?: (number | string | Long);
  /**
   * Whole pages.
   */
  'leftBytes'?: (number | string | Long);
}

/**
 * The client needs no more of the promise than this, because the slot has grown by other memory, or
 * its request has ended (0, which ends it). More than is left of it changes nothing. Renews it.
 */
export interface UpdatePromiseRequest__Output {
  'promiseId': (string);
  /**
   * Whole pages.
   */
  'leftBytes': (string);
}
