// Original file: proto/kvspan/v1/memory.proto

import type { AcquireRequest as _kvspan_v1_AcquireRequest, AcquireRequest__Output as _kvspan_v1_AcquireRequest__Output } from '../../kvspan/v1/AcquireRequest.js';
import type { ReturnRequest as _kvspan_v1_ReturnRequest, ReturnRequest__Output as _kvspan_v1_ReturnRequest__Output } from '../../kvspan/v1/ReturnRequest.js';
import type { CancelRequest as _kvspan_v1_CancelRequest, CancelRequest__Output as _kvspan_v1_CancelRequest__Output } from '../../kvspan/v1/CancelRequest.js';
import type { ReclaimReport as _kvspan_v1_ReclaimReport, ReclaimReport__Output as _kvspan_v1_ReclaimReport__Output } from '../../kvspan/v1/ReclaimReport.js';
import type { ReserveRequest as _kvspan_v1_ReserveRequest, ReserveRequest__Output as _kvspan_v1_ReserveRequest__Output } from '../../kvspan/v1/ReserveRequest.js';
import type { UpdatePromiseRequest as _kvspan_v1_UpdatePromiseRequest, UpdatePromiseRequest__Output as _kvspan_v1_UpdatePromiseRequest__Output } from '../../kvspan/v1/UpdatePromiseRequest.js';
import type { Long } from '@grpc/proto-loader';

export interface ExchangeRequest {
  /**
   * Chosen by the client; the answer carries it. Not 0.
   */
  'requestId'?: (number | string | Long);
  'acquire'?: (_kvspan_v1_AcquireRequest | null);
  'return'?: (_kvspan_v1_ReturnRequest | null);
  'cancel'?: (_kvspan_v1_CancelRequest | null);
  /**
   * What a Reclaim event brought; sent after the extents were returned.
   */
  'reclaimReport'?: (_kvspan_v1_ReclaimReport | null);
  'reserve'?: (_kvspan_v1_ReserveRequest | null);
  'promise'?: (_kvspan_v1_UpdatePromiseRequest | null);
  'request'?: "acquire"|"return"|"cancel"|"reclaimReport"|"reserve"|"promise";
}

export interface ExchangeRequest__Output {
  /**
   * Chosen by the client; the answer carries it. Not 0.
   */
  'requestId': (string);
  'acquire'?: (_kvspan_v1_AcquireRequest__Output | null);
  'return'?: (_kvspan_v1_ReturnRequest__Output | null);
  'cancel'?: (_kvspan_v1_CancelRequest__Output | null);
  /**
   * What a Reclaim event brought; sent after the extents were returned.
   */
  'reclaimReport'?: (_kvspan_v1_ReclaimReport__Output | null);
  'reserve'?: (_kvspan_v1_ReserveRequest__Output | null);
  'promise'?: (_kvspan_v1_UpdatePromiseRequest__Output | null);
  'request'?: "acquire"|"return"|"cancel"|"reclaimReport"|"reserve"|"promise";
}
