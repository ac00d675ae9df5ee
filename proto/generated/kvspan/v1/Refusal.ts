// Original file: proto/kvspan/v1/types.proto

import type { Holder as _kvspan_v1_Holder, Holder__Output as _kvspan_v1_Holder__Output } from '../../kvspan/v1/Holder.js';
import type { Long } from '@grpc/proto-loader';

/**
 * Why something was not done. On the stream as a message; on a unary call as the binary trailer
 * `kvspan-refusal-bin` beside the gRPC status.
 */
export interface Refusal {
  /**
   * A code of `proto/errors.ts`, the closed set, for example "POOL_EXHAUSTED".
   */
  'code'?: (string);
  /**
   * The whole sentence, with the numbers in it.
   */
  'message'?: (string);
  /**
   * The request's field at fault, if one is.
   */
  'field'?: (string);
  'retryable'?: (boolean);
  'askedBytes'?: (number | string | Long);
  'freeBytes'?: (number | string | Long);
  'limitBytes'?: (number | string | Long);
  'holders'?: (_kvspan_v1_Holder)[];
}

/**
 * Why something was not done. On the stream as a message; on a unary call as the binary trailer
 * `kvspan-refusal-bin` beside the gRPC status.
 */
export interface Refusal__Output {
  /**
   * A code of `proto/errors.ts`, the closed set, for example "POOL_EXHAUSTED".
   */
  'code': (string);
  /**
   * The whole sentence, with the numbers in it.
   */
  'message': (string);
  /**
   * The request's field at fault, if one is.
   */
  'field': (string);
  'retryable': (boolean);
  'askedBytes': (string);
  'freeBytes': (string);
  'limitBytes': (string);
  'holders': (_kvspan_v1_Holder__Output)[];
}
