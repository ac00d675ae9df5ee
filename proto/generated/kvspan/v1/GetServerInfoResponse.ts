// Original file: proto/kvspan/v1/memory.proto

import type { DeviceInfo as _kvspan_v1_DeviceInfo, DeviceInfo__Output as _kvspan_v1_DeviceInfo__Output } from '../../kvspan/v1/DeviceInfo.js';
import type { Long } from '@grpc/proto-loader';

export interface GetServerInfoResponse {
  'version'?: (string);
  'device'?: (_kvspan_v1_DeviceInfo | null);
  'pageBytes'?: (number | string | Long);
  /**
   * Extents are page_bytes << order, order 0 .. extent_order_max.
   */
  'extentOrderMax'?: (number);
  'poolBytes'?: (number | string | Long);
  /**
   * The most that one session may hold.
   */
  'sessionLimitBytes'?: (number | string | Long);
  'extentsPerGrantMax'?: (number);
  'cachesPerSessionMax'?: (number);
  'grantsInFlightMax'?: (number);
  'addressPlanBytes'?: (number | string | Long);
  'extentSocket'?: (string);
}

export interface GetServerInfoResponse__Output {
  'version': (string);
  'device': (_kvspan_v1_DeviceInfo__Output | null);
  'pageBytes': (string);
  /**
   * Extents are page_bytes << order, order 0 .. extent_order_max.
   */
  'extentOrderMax': (number);
  'poolBytes': (string);
  /**
   * The most that one session may hold.
   */
  'sessionLimitBytes': (string);
  'extentsPerGrantMax': (number);
  'cachesPerSessionMax': (number);
  'grantsInFlightMax': (number);
  'addressPlanBytes': (string);
  'extentSocket': (string);
}
