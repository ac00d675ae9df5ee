// Original file: proto/kvspan/v1/types.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Who holds memory: named in a refusal so that an operator knows whom to ask. The largest first.
 */
export interface Holder {
  'sessionId'?: (number | string | Long);
  'pid'?: (number);
  'heldBytes'?: (number | string | Long);
}

/**
 * Who holds memory: named in a refusal so that an operator knows whom to ask. The largest first.
 */
export interface Holder__Output {
  'sessionId': (string);
  'pid': (number);
  'heldBytes': (string);
}
