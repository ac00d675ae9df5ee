import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { AcquireRequest as _kvspan_v1_AcquireRequest, AcquireRequest__Output as _kvspan_v1_AcquireRequest__Output } from './kvspan/v1/AcquireRequest.js';
import type { AcquireResponse as _kvspan_v1_AcquireResponse, AcquireResponse__Output as _kvspan_v1_AcquireResponse__Output } from './kvspan/v1/AcquireResponse.js';
import type { AdoptRequest as _kvspan_v1_AdoptRequest, AdoptRequest__Output as _kvspan_v1_AdoptRequest__Output } from './kvspan/v1/AdoptRequest.js';
import type { AdoptResponse as _kvspan_v1_AdoptResponse, AdoptResponse__Output as _kvspan_v1_AdoptResponse__Output } from './kvspan/v1/AdoptResponse.js';
import type { CacheGeometry as _kvspan_v1_CacheGeometry, CacheGeometry__Output as _kvspan_v1_CacheGeometry__Output } from './kvspan/v1/CacheGeometry.js';
import type { CachePlan as _kvspan_v1_CachePlan, CachePlan__Output as _kvspan_v1_CachePlan__Output } from './kvspan/v1/CachePlan.js';
import type { CancelRequest as _kvspan_v1_CancelRequest, CancelRequest__Output as _kvspan_v1_CancelRequest__Output } from './kvspan/v1/CancelRequest.js';
import type { CancelResponse as _kvspan_v1_CancelResponse, CancelResponse__Output as _kvspan_v1_CancelResponse__Output } from './kvspan/v1/CancelResponse.js';
import type { CreateCacheRequest as _kvspan_v1_CreateCacheRequest, CreateCacheRequest__Output as _kvspan_v1_CreateCacheRequest__Output } from './kvspan/v1/CreateCacheRequest.js';
import type { CreateCacheResponse as _kvspan_v1_CreateCacheResponse, CreateCacheResponse__Output as _kvspan_v1_CreateCacheResponse__Output } from './kvspan/v1/CreateCacheResponse.js';
import type { DestroyCacheRequest as _kvspan_v1_DestroyCacheRequest, DestroyCacheRequest__Output as _kvspan_v1_DestroyCacheRequest__Output } from './kvspan/v1/DestroyCacheRequest.js';
import type { DestroyCacheResponse as _kvspan_v1_DestroyCacheResponse, DestroyCacheResponse__Output as _kvspan_v1_DestroyCacheResponse__Output } from './kvspan/v1/DestroyCacheResponse.js';
import type { DeviceInfo as _kvspan_v1_DeviceInfo, DeviceInfo__Output as _kvspan_v1_DeviceInfo__Output } from './kvspan/v1/DeviceInfo.js';
import type { Draining as _kvspan_v1_Draining, Draining__Output as _kvspan_v1_Draining__Output } from './kvspan/v1/Draining.js';
import type { ExchangeRequest as _kvspan_v1_ExchangeRequest, ExchangeRequest__Output as _kvspan_v1_ExchangeRequest__Output } from './kvspan/v1/ExchangeRequest.js';
import type { ExchangeResponse as _kvspan_v1_ExchangeResponse, ExchangeResponse__Output as _kvspan_v1_ExchangeResponse__Output } from './kvspan/v1/ExchangeResponse.js';
import type { GetServerInfoRequest as _kvspan_v1_GetServerInfoRequest, GetServerInfoRequest__Output as _kvspan_v1_GetServerInfoRequest__Output } from './kvspan/v1/GetServerInfoRequest.js';
import type { GetServerInfoResponse as _kvspan_v1_GetServerInfoResponse, GetServerInfoResponse__Output as _kvspan_v1_GetServerInfoResponse__Output } from './kvspan/v1/GetServerInfoResponse.js';
import type { Grant as _kvspan_v1_Grant, Grant__Output as _kvspan_v1_Grant__Output } from './kvspan/v1/Grant.js';
import type { Holder as _kvspan_v1_Holder, Holder__Output as _kvspan_v1_Holder__Output } from './kvspan/v1/Holder.js';
import type { MemoryServiceClient as _kvspan_v1_MemoryServiceClient, MemoryServiceDefinition as _kvspan_v1_MemoryServiceDefinition } from './kvspan/v1/MemoryService.js';
import type { PlaceCacheRequest as _kvspan_v1_PlaceCacheRequest, PlaceCacheRequest__Output as _kvspan_v1_PlaceCacheRequest__Output } from './kvspan/v1/PlaceCacheRequest.js';
import type { PlaceCacheResponse as _kvspan_v1_PlaceCacheResponse, PlaceCacheResponse__Output as _kvspan_v1_PlaceCacheResponse__Output } from './kvspan/v1/PlaceCacheResponse.js';
import type { PromiseCut as _kvspan_v1_PromiseCut, PromiseCut__Output as _kvspan_v1_PromiseCut__Output } from './kvspan/v1/PromiseCut.js';
import type { Promised as _kvspan_v1_Promised, Promised__Output as _kvspan_v1_Promised__Output } from './kvspan/v1/Promised.js';
import type { Ready as _kvspan_v1_Ready, Ready__Output as _kvspan_v1_Ready__Output } from './kvspan/v1/Ready.js';
import type { Reclaim as _kvspan_v1_Reclaim, Reclaim__Output as _kvspan_v1_Reclaim__Output } from './kvspan/v1/Reclaim.js';
import type { ReclaimReport as _kvspan_v1_ReclaimReport, ReclaimReport__Output as _kvspan_v1_ReclaimReport__Output } from './kvspan/v1/ReclaimReport.js';
import type { ReclaimReportResponse as _kvspan_v1_ReclaimReportResponse, ReclaimReportResponse__Output as _kvspan_v1_ReclaimReportResponse__Output } from './kvspan/v1/ReclaimReportResponse.js';
import type { Refusal as _kvspan_v1_Refusal, Refusal__Output as _kvspan_v1_Refusal__Output } from './kvspan/v1/Refusal.js';
import type { ReserveRequest as _kvspan_v1_ReserveRequest, ReserveRequest__Output as _kvspan_v1_ReserveRequest__Output } from './kvspan/v1/ReserveRequest.js';
import type { ReserveResponse as _kvspan_v1_ReserveResponse, ReserveResponse__Output as _kvspan_v1_ReserveResponse__Output } from './kvspan/v1/ReserveResponse.js';
import type { ReturnRequest as _kvspan_v1_ReturnRequest, ReturnRequest__Output as _kvspan_v1_ReturnRequest__Output } from './kvspan/v1/ReturnRequest.js';
import type { ReturnResponse as _kvspan_v1_ReturnResponse, ReturnResponse__Output as _kvspan_v1_ReturnResponse__Output } from './kvspan/v1/ReturnResponse.js';
import type { UpdatePromiseRequest as _kvspan_v1_UpdatePromiseRequest, UpdatePromiseRequest__Output as _kvspan_v1_UpdatePromiseRequest__Output } from './kvspan/v1/UpdatePromiseRequest.js';
import type { UpdatePromiseResponse as _kvspan_v1_UpdatePromiseResponse, UpdatePromiseResponse__Output as _kvspan_v1_UpdatePromiseResponse__Output } from './kvspan/v1/UpdatePromiseResponse.js';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  kvspan: {
    v1: {
      AcquireRequest: MessageTypeDefinition<_kvspan_v1_AcquireRequest, _kvspan_v1_AcquireRequest__Output>
      AcquireResponse: MessageTypeDefinition<_kvspan_v1_AcquireResponse, _kvspan_v1_AcquireResponse__Output>
      AdoptRequest: MessageTypeDefinition<_kvspan_v1_AdoptRequest, _kvspan_v1_AdoptRequest__Output>
      AdoptResponse: MessageTypeDefinition<_kvspan_v1_AdoptResponse, _kvspan_v1_AdoptResponse__Output>
      CacheGeometry: MessageTypeDefinition<_kvspan_v1_CacheGeometry, _kvspan_v1_CacheGeometry__Output>
      CachePlan: MessageTypeDefinition<_kvspan_v1_CachePlan, _kvspan_v1_CachePlan__Output>
      CancelRequest: MessageTypeDefinition<_kvspan_v1_CancelRequest, _kvspan_v1_CancelRequest__Output>
      CancelResponse: MessageTypeDefinition<_kvspan_v1_CancelResponse, _kvspan_v1_CancelResponse__Output>
      CreateCacheRequest: MessageTypeDefinition<_kvspan_v1_CreateCacheRequest, _kvspan_v1_CreateCacheRequest__Output>
      CreateCacheResponse: MessageTypeDefinition<_kvspan_v1_CreateCacheResponse, _kvspan_v1_CreateCacheResponse__Output>
      DestroyCacheRequest: MessageTypeDefinition<_kvspan_v1_DestroyCacheRequest, _kvspan_v1_DestroyCacheRequest__Output>
      DestroyCacheResponse: MessageTypeDefinition<_kvspan_v1_DestroyCacheResponse, _kvspan_v1_DestroyCacheResponse__Output>
      DeviceInfo: MessageTypeDefinition<_kvspan_v1_DeviceInfo, _kvspan_v1_DeviceInfo__Output>
      Draining: MessageTypeDefinition<_kvspan_v1_Draining, _kvspan_v1_Draining__Output>
      Dtype: EnumTypeDefinition
      ExchangeRequest: MessageTypeDefinition<_kvspan_v1_ExchangeRequest, _kvspan_v1_ExchangeRequest__Output>
      ExchangeResponse: MessageTypeDefinition<_kvspan_v1_ExchangeResponse, _kvspan_v1_ExchangeResponse__Output>
      GetServerInfoRequest: MessageTypeDefinition<_kvspan_v1_GetServerInfoRequest, _kvspan_v1_GetServerInfoRequest__Output>
      GetServerInfoResponse: MessageTypeDefinition<_kvspan_v1_GetServerInfoResponse, _kvspan_v1_GetServerInfoResponse__Output>
      Grant: MessageTypeDefinition<_kvspan_v1_Grant, _kvspan_v1_Grant__Output>
      Holder: MessageTypeDefinition<_kvspan_v1_Holder, _kvspan_v1_Holder__Output>
      Layout: EnumTypeDefinition
      MemoryService: SubtypeConstructor<typeof grpc.Client, _kvspan_v1_MemoryServiceClient> & { service: _kvspan_v1_MemoryServiceDefinition }
      PlaceCacheRequest: MessageTypeDefinition<_kvspan_v1_PlaceCacheRequest, _kvspan_v1_PlaceCacheRequest__Output>
      PlaceCacheResponse: MessageTypeDefinition<_kvspan_v1_PlaceCacheResponse, _kvspan_v1_PlaceCacheResponse__Output>
      PromiseCut: MessageTypeDefinition<_kvspan_v1_PromiseCut, _kvspan_v1_PromiseCut__Output>
      Promised: MessageTypeDefinition<_kvspan_v1_Promised, _kvspan_v1_Promised__Output>
      Ready: MessageTypeDefinition<_kvspan_v1_Ready, _kvspan_v1_Ready__Output>
      Reclaim: MessageTypeDefinition<_kvspan_v1_Reclaim, _kvspan_v1_Reclaim__Output>
      ReclaimReport: MessageTypeDefinition<_kvspan_v1_ReclaimReport, _kvspan_v1_ReclaimReport__Output>
      ReclaimReportResponse: MessageTypeDefinition<_kvspan_v1_ReclaimReportResponse, _kvspan_v1_ReclaimReportResponse__Output>
      Refusal: MessageTypeDefinition<_kvspan_v1_Refusal, _kvspan_v1_Refusal__Output>
      ReserveRequest: MessageTypeDefinition<_kvspan_v1_ReserveRequest, _kvspan_v1_ReserveRequest__Output>
      ReserveResponse: MessageTypeDefinition<_kvspan_v1_ReserveResponse, _kvspan_v1_ReserveResponse__Output>
      ReturnRequest: MessageTypeDefinition<_kvspan_v1_ReturnRequest, _kvspan_v1_ReturnRequest__Output>
      ReturnResponse: MessageTypeDefinition<_kvspan_v1_ReturnResponse, _kvspan_v1_ReturnResponse__Output>
      UpdatePromiseRequest: MessageTypeDefinition<_kvspan_v1_UpdatePromiseRequest, _kvspan_v1_UpdatePromiseRequest__Output>
      UpdatePromiseResponse: MessageTypeDefinition<_kvspan_v1_UpdatePromiseResponse, _kvspan_v1_UpdatePromiseResponse__Output>
    }
  }
}

