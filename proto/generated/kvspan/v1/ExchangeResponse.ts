// Original file: proto/kvspan/v1/memory.proto

import type { Grant as _kvspan_v1_Grant, Grant__Output as _kvspan_v1_Grant__Output } from '../../kvspan/v1/Grant.js';
import type { ReturnResponse as _kvspan_v1_ReturnResponse, ReturnResponse__Output as _kvspan_v1_ReturnResponse__Output } from '../../kvspan/v1/ReturnResponse.js';
import type { Refusal as _kvspan_v1_Refusal, Refusal__Output as _kvspan_v1_Refusal__Output } from '../../kvspan/v1/Refusal.js';
import type { Reclaim as _kvspan_v1_Reclaim, Reclaim__Output as _kvspan_v1_Reclaim__Output } from '../../kvspan/v1/Reclaim.js';
import type { Draining as _kvspan_v1_Draining, Draining__Output as _kvspan_v1_Draining__Output } from '../../kvspan/v1/Draining.js';
import type { CancelResponse as _kvspan_v1_CancelResponse, CancelResponse__Output as _kvspan_v1_CancelResponse__Output } from '../../kvspan/v1/CancelResponse.js';
import type { Ready as _kvspan_v1_Ready, Ready__Output as _kvspan_v1_Ready__Output } from '../../kvspan/v1/Ready.js';
import type { ReclaimReportResponse as _kvspan_v1_ReclaimReportResponse, ReclaimReportResponse__Output as _kvspan_v1_ReclaimReportResponse__Output } from '../../kvspan/v1/ReclaimReportResponse.js';
import type { Promised as _kvspan_v1_Promised, Promised__Output as _kvspan_v1_Promised__Output } from '../../kvspan/v1/Promised.js';
import type { UpdatePromiseResponse as _kvspan_v1_UpdatePromiseResponse, UpdatePromiseResponse__Output as _kvspan_v1_UpdatePromiseResponse__Output } from '../../kvspan/v1/UpdatePromiseResponse.js';
import type { PromiseCut as _kvspan_v1_PromiseCut, PromiseCut__Output as _kvspan_v1_PromiseCut__Output } from '../../kvspan/v1/PromiseCut.js';
import type { Long } from '@grpc/proto-loader';

export interface ExchangeResponse {
  /**
   * Of the request that this answers; 0 for an event.
   */
  'requestId'?: (number | string | Long);
  'grant'?: (_kvspan_v1_Grant | null);
  'returned'?: (_kvspan_v1_ReturnResponse | null);
  'refusal'?: (_kvspan_v1_Refusal | null);
  'reclaim'?: (_kvspan_v1_Reclaim | null);
  'draining'?: (_kvspan_v1_Draining | null);
  'cancelled'?: (_kvspan_v1_CancelResponse | null);
  /**
   * First message on every stream: the daemon has it registered.
   */
  'ready'?: (_kvspan_v1_Ready | null);
  'reclaimNoted'?: (_kvspan_v1_ReclaimReportResponse | null);
  'promised'?: (_kvspan_v1_Promised | null);
  'promiseNoted'?: (_kvspan_v1_UpdatePromiseResponse | null);
  /**
   * An event.
   */
  'promiseCut'?: (_kvspan_v1_PromiseCut | null);
  'response'?: "grant"|"returned"|"refusal"|"reclaim"|"draining"|"cancelled"|"ready"|"reclaimNoted"|"promised"|"promiseNoted"|"promiseCut";
}

export interface ExchangeResponse__Output {
  /**
   * Of the request that this answers; 0 for an event.
   */
  'requestId': (string);
  'grant'?: (_kvspan_v1_Grant__Output | null);
  'returned'?: (_kvspan_v1_ReturnResponse__Output | null);
  'refusal'?: (_kvspan_v1_Refusal__Output | null);
  'reclaim'?: (_kvspan_v1_Reclaim__Output | null);
  'draining'?: (_kvspan_v1_Draining__Output | null);
  'cancelled'?: (_kvspan_v1_CancelResponse__Output | null);
  /**
   * First message on every stream: the daemon has it registered.
   */
  'ready'?: (_kvspan_v1_Ready__Output | null);
  'reclaimNoted'?: (_kvspan_v1_ReclaimReportResponse__Output | null);
  'promised'?: (_kvspan_v1_Promised__Output | null);
  'promiseNoted'?: (_kvspan_v1_UpdatePromiseResponse__Output | null);
  /**
   * An event.
   */
  'promiseCut'?: (_kvspan_v1_PromiseCut__Output | null);
  'response'?: "grant"|"returned"|"refusal"|"reclaim"|"draining"|"cancelled"|"ready"|"reclaimNoted"|"promised"|"promiseNoted"|"promiseCut";
}
