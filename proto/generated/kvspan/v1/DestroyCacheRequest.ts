// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface DestroyCacheRequest {
  'cacheId'?: (number | string | Long);
}

export interface DestroyCacheRequest__Output {
  'cacheId': (string);
}
