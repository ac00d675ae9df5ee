// Original file: proto/kvspan/v1/admin.proto

import type { DeviceInfo as _kvspan_v1_DeviceInfo, DeviceInfo__Output as _kvspan_v1_DeviceInfo__Output } from '../../kvspan/v1/DeviceInfo.js';
import type { DeviceCheck as _kvspan_v1_DeviceCheck, DeviceCheck__Output as _kvspan_v1_DeviceCheck__Output } from '../../kvspan/v1/DeviceCheck.js';
import type { Long } from '@grpc/proto-loader';

export interface GetPoolResponse {
  'device'?: (_kvspan_v1_DeviceInfo | null);
  'poolBytes'?: (number | string | Long);
  /**
   * Charged to sessions: granted, in flight, or held by a process that has not exited yet.
   */
  'usedBytes'?: (number | string | Long);
  'freeBytes'?: (number | string | Long);
  'extentCount'?: (number | string | Long);
  'sessionCount'?: (number);
  'cacheCount'?: (number);
  'waitingGrantCount'?: (number);
  'waitingBytes'?: (number | string | Long);
  'grantedTotalCount'?: (number | string | Long);
  'refusedTotalCount'?: (number | string | Long);
  'uptimeMs'?: (number | string | Long);
  'version'?: (string);
  /**
   * Of the extents ever granted by this daemon.
   */
  'grantedTotalBytes'?: (number | string | Long);
  'returnedTotalBytes'?: (number | string | Long);
  /**
   * Of the free bytes: kept for sessions by promise.
   */
  'promisedBytes'?: (number | string | Long);
  'deviceCheck'?: (_kvspan_v1_DeviceCheck | null);
}

export interface GetPoolResponse__Output {
  'device': (_kvspan_v1_DeviceInfo__Output | null);
  'poolBytes': (string);
  /**
   * Charged to sessions: granted, in flight, or held by a process that has not exited yet.
   */
  'usedBytes': (string);
  'freeBytes': (string);
  'extentCount': (string);
  'sessionCount': (number);
  'cacheCount': (number);
  'waitingGrantCount': (number);
  'waitingBytes': (string);
  'grantedTotalCount': (string);
  'refusedTotalCount': (string);
  'uptimeMs': (string);
  'version': (string);
  /**
   * Of the extents ever granted by this daemon.
   */
  'grantedTotalBytes': (string);
  'returnedTotalBytes': (string);
  /**
   * Of the free bytes: kept for sessions by promise.
   */
  'promisedBytes': (string);
  'deviceCheck': (_kvspan_v1_DeviceCheck__Output | null);
}
