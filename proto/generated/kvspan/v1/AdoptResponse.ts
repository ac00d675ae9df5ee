// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface AdoptResponse {
  'heldBytes'?: (number | string | Long);
}

export interface AdoptResponse__Output {
  'heldBytes': (string);
}
