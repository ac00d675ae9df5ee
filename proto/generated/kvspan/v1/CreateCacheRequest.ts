// Original file: proto/kvspan/v1/memory.proto

import type { CacheGeometry as _kvspan_v1_CacheGeometry, CacheGeometry__Output as _kvspan_v1_CacheGeometry__Output } from '../../kvspan/v1/CacheGeometry.js';
import type { Long } from '@grpc/proto-loader';

export interface CreateCacheRequest {
  'geometry'?: (_kvspan_v1_CacheGeometry | null);
  /**
   * Addresses the cache would like (0: none), so that they stay the same across restarts. A
   * multiple of the page. Honoured if it lies in the plan and is free; otherwise others are given.
   */
  'wantedBaseAddress'?: (number | string | Long);
  /**
   * For people: shown in the admin service. At most 64 bytes of printable ASCII.
   */
  'name'?: (string);
}

export interface CreateCacheRequest__Output {
  'geometry': (_kvspan_v1_CacheGeometry__Output | null);
  /**
   * Addresses the cache would like (0: none), so that they stay the same across restarts. A
   * multiple of the page. Honoured if it lies in the plan and is free; otherwise others are given.
   */
  'wantedBaseAddress': (string);
  /**
   * For people: shown in the admin service. At most 64 bytes of printable ASCII.
   */
  'name': (string);
}
