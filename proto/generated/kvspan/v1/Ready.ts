// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface Ready {
  'sessionId'?: (number | string | Long);
  'heldBytes'?: (number | string | Long);
  'limitBytes'?: (number | string | Long);
}

export interface Ready__Output {
  'sessionId': (string);
  'heldBytes': (string);
  'limitBytes': (string);
}
