// Original file: proto/kvspan/v1/memory.proto

import type { Long } from '@grpc/proto-loader';

export interface ReserveRequest {
  /**
   * Chosen by the client, not 0, and no number of a grant in flight or of another promise.
   */
  'promiseId'?: (number | string | Long);
  /**
   * A cache of the session: its geometry says how much memory a length takes.
   */
  'cacheId'?: (number | string | Long);
  /**
   * The length, 1 .. the cache's max_tokens_count.
   */
  'tokensCount'?: (number);
  /**
   * Mapped past the length for kernels that read whole tiles.
   */
  'overreadTokensCount'?: (number);
  /**
   * What the slot has mapped already, which need not be promised: whole pages, less than the length takes.
   */
  'mappedBytes'?: (number | string | Long);
  /**
   * How long it may wait for memory that others give back. 0: answer at once.
   */
  'waitMs'?: (number);
  /**
   * It lapses when it is neither used nor updated for so long. 1 .. 600,000.
   */
  'lapseMs'?: (number);
}

export interface ReserveRequest__Output {
  /**
   * Chosen by the client, not 0, and no number of a grant in flight or of another promise.
   */
  'promiseId': (string);
  /**
   * A cache of the session: its geometry says how much memory a length takes.
   */
  'cacheId': (string);
  /**
   * The length, 1 .. the cache's max_tokens_count.
   */
  'tokensCount': (number);
  /**
   * Mapped past the length for kernels that read whole tiles.
   */
  'overreadTokensCount': (number);
  /**
   * What the slot has mapped already, which need not be promised: whole pages, less than the length takes.
   */
  'mappedBytes': (string);
  /**
   * How long it may wait for memory that others give back. 0: answer at once.
   */
  'waitMs': (number);
  /**
   * It lapses when it is neither used nor updated for so long. 1 .. 600,000.
   */
  'lapseMs': (number);
}
