// Original file: proto/kvspan/v1/memory.proto

import type { CachePlan as _kvspan_v1_CachePlan, CachePlan__Output as _kvspan_v1_CachePlan__Output } from '../../kvspan/v1/CachePlan.js';
import type { Long } from '@grpc/proto-loader';

export interface CreateCacheResponse {
  'cacheId'?: (number | string | Long);
  'plan'?: (_kvspan_v1_CachePlan | null);
}

export interface CreateCacheResponse__Output {
  'cacheId': (string);
  'plan': (_kvspan_v1_CachePlan__Output | null);
}
