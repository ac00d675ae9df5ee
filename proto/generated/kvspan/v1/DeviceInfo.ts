// Original file: proto/kvspan/v1/types.proto

import type { Long } from '@grpc/proto-loader';

export interface DeviceInfo {
  /**
   * "host" or "cuda".
   */
  'backend'?: (string);
  'ordinal'?: (number);
  'name'?: (string);
  /**
   * Stable identity of the device; empty on the host backend.
   */
  'uuid'?: (string);
  'driver'?: (string);
  'totalBytes'?: (number | string | Long);
}

export interface DeviceInfo__Output {
  /**
   * "host" or "cuda".
   */
  'backend': (string);
  'ordinal': (number);
  'name': (string);
  /**
   * Stable identity of the device; empty on the host backend.
   */
  'uuid': (string);
  'driver': (string);
  'totalBytes': (string);
}
