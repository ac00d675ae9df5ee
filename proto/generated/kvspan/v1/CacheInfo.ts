// Original file: proto/kvspan/v1/admin.proto

import type { CacheGeometry as _kvspan_v1_CacheGeometry, CacheGeometry__Output as _kvspan_v1_CacheGeometry__Output } from '../../kvspan/v1/CacheGeometry.js';
import type { CachePlan as _kvspan_v1_CachePlan, CachePlan__Output as _kvspan_v1_CachePlan__Output } from '../../kvspan/v1/CachePlan.js';
import type { Long } from '@grpc/proto-loader';

export interface CacheInfo {
  'cacheId'?: (number | string | Long);
  'sessionId'?: (number | string | Long);
  'name'?: (string);
  'geometry'?: (_kvspan_v1_CacheGeometry | null);
  'plan'?: (_kvspan_v1_CachePlan | null);
}

export interface CacheInfo__Output {
  'cacheId': (string);
  'sessionId': (string);
  'name': (string);
  'geometry': (_kvspan_v1_CacheGeometry__Output | null);
  'plan': (_kvspan_v1_CachePlan__Output | null);
}
