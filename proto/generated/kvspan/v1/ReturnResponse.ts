// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface ReturnResponse {
  'extentCount'?: (number);
  'returnedBytes'?: (number | string | Long);
  'heldBytes'?: (number | string | Long);
}

export interface ReturnResponse__Output {
  'extentCount': (number);
  'returnedBytes': (string);
  'heldBytes': (string);
}
