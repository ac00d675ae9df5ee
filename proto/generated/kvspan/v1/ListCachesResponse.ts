// Original file: proto/kvspan/v1/admin.proto

import type { CacheInfo as _kvspan_v1_CacheInfo, CacheInfo__Output as _kvspan_v1_CacheInfo__Output } from '../../kvspan/v1/CacheInfo.js';

export interface ListCachesResponse {
  'caches'?: (_kvspan_v1_CacheInfo)[];
}

export interface ListCachesResponse__Output {
  'caches': (_kvspan_v1_CacheInfo__Output)[];
}
