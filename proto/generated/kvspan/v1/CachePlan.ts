// Original file: proto/kvspan/v1/types.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Where everything of a cache lies. The address of token t of slot s in lane l is
 * base_address + l * lane_stride_bytes + s * slot_stride_bytes + t * row_bytes
 */
export interface CachePlan {
  'baseAddress'?: (number | string | Long);
  'totalBytes'?: (number | string | Long);
  'laneCount'?: (number);
  /**
   * One token in one lane.
   */
  'rowBytes'?: (number | string | Long);
  /**
   * A whole number of rows and of pages.
   */
  'slotStrideBytes'?: (number | string | Long);
  'laneStrideBytes'?: (number | string | Long);
}

/**
 * Where everything of a cache lies. The address of token t of slot s in lane l is
 * base_address + l * lane_stride_bytes + s * slot_stride_bytes + t * row_bytes
 */
export interface CachePlan__Output {
  'baseAddress': (string);
  'totalBytes': (string);
  'laneCount': (number);
  /**
   * One token in one lane.
   */
  'rowBytes': (string);
  /**
   * A whole number of rows and of pages.
   */
  'slotStrideBytes': (string);
  'laneStrideBytes': (string);
}
