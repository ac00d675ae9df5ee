// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface Promised {
  'promiseId'?: (number | string | Long);
  'promisedBytes'?: (number | string | Long);
}

export interface Promised__Output {
  'promiseId': (string);
  'promisedBytes': (string);
}
