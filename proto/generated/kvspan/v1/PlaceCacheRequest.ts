// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface PlaceCacheRequest {
  'cacheId'?: (number | string | Long);
  'actualBaseAddress'?: (number | string | Long);
}

export interface PlaceCacheRequest__Output {
  'cacheId': (string);
  'actualBaseAddress': (string);
}
