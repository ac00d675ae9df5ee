// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface ReclaimReport {
  'reclaimId'?: (number | string | Long);
  'returnedBytes'?: (number | string | Long);
}

export interface ReclaimReport__Output {
  'reclaimId': (string);
  'returnedBytes': (string);
}
