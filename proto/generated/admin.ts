import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { AdminServiceClient as _kvspan_v1_AdminServiceClient, AdminServiceDefinition as _kvspan_v1_AdminServiceDefinition } from './kvspan/v1/AdminService.js';
import type { CacheGeometry as _kvspan_v1_CacheGeometry, CacheGeometry__Output as _kvspan_v1_CacheGeometry__Output } from './kvspan/v1/CacheGeometry.js';
import type { CacheInfo as _kvspan_v1_CacheInfo, CacheInfo__Output as _kvspan_v1_CacheInfo__Output } from './kvspan/v1/CacheInfo.js';
import type { CachePlan as _kvspan_v1_CachePlan, CachePlan__Output as _kvspan_v1_CachePlan__Output } from './kvspan/v1/CachePlan.js';
import type { DeviceCheck as _kvspan_v1_DeviceCheck, DeviceCheck__Output as _kvspan_v1_DeviceCheck__Output } from './kvspan/v1/DeviceCheck.js';
import type { DeviceInfo as _kvspan_v1_DeviceInfo, DeviceInfo__Output as _kvspan_v1_DeviceInfo__Output } from './kvspan/v1/DeviceInfo.js';
import type { EvictSessionRequest as _kvspan_v1_EvictSessionRequest, EvictSessionRequest__Output as _kvspan_v1_EvictSessionRequest__Output } from './kvspan/v1/EvictSessionRequest.js';
import type { EvictSessionResponse as _kvspan_v1_EvictSessionResponse, EvictSessionResponse__Output as _kvspan_v1_EvictSessionResponse__Output } from './kvspan/v1/EvictSessionResponse.js';
import type { GetPoolRequest as _kvspan_v1_GetPoolRequest, GetPoolRequest__Output as _kvspan_v1_GetPoolRequest__Output } from './kvspan/v1/GetPoolRequest.js';
import type { GetPoolResponse as _kvspan_v1_GetPoolResponse, GetPoolResponse__Output as _kvspan_v1_GetPoolResponse__Output } from './kvspan/v1/GetPoolResponse.js';
import type { Holder as _kvspan_v1_Holder, Holder__Output as _kvspan_v1_Holder__Output } from './kvspan/v1/Holder.js';
import type { ListCachesRequest as _kvspan_v1_ListCachesRequest, ListCachesRequest__Output as _kvspan_v1_ListCachesRequest__Output } from './kvspan/v1/ListCachesRequest.js';
import type { ListCachesResponse as _kvspan_v1_ListCachesResponse, ListCachesResponse__Output as _kvspan_v1_ListCachesResponse__Output } from './kvspan/v1/ListCachesResponse.js';
import type { ListSessionsRequest as _kvspan_v1_ListSessionsRequest, ListSessionsRequest__Output as _kvspan_v1_ListSessionsRequest__Output } from './kvspan/v1/ListSessionsRequest.js';
import type { ListSessionsResponse as _kvspan_v1_ListSessionsResponse, ListSessionsResponse__Output as _kvspan_v1_ListSessionsResponse__Output } from './kvspan/v1/ListSessionsResponse.js';
import type { ListTenantsRequest as _kvspan_v1_ListTenantsRequest, ListTenantsRequest__Output as _kvspan_v1_ListTenantsRequest__Output } from './kvspan/v1/ListTenantsRequest.js';
import type { ListTenantsResponse as _kvspan_v1_ListTenantsResponse, ListTenantsResponse__Output as _kvspan_v1_ListTenantsResponse__Output } from './kvspan/v1/ListTenantsResponse.js';
import type { ProcessDifference as _kvspan_v1_ProcessDifference, ProcessDifference__Output as _kvspan_v1_ProcessDifference__Output } from './kvspan/v1/ProcessDifference.js';
import type { Refusal as _kvspan_v1_Refusal, Refusal__Output as _kvspan_v1_Refusal__Output } from './kvspan/v1/Refusal.js';
import type { SessionInfo as _kvspan_v1_SessionInfo, SessionInfo__Output as _kvspan_v1_SessionInfo__Output } from './kvspan/v1/SessionInfo.js';
import type { SetTenantRequest as _kvspan_v1_SetTenantRequest, SetTenantRequest__Output as _kvspan_v1_SetTenantRequest__Output } from './kvspan/v1/SetTenantRequest.js';
import type { SetTenantResponse as _kvspan_v1_SetTenantResponse, SetTenantResponse__Output as _kvspan_v1_SetTenantResponse__Output } from './kvspan/v1/SetTenantResponse.js';
import type { TenantEntitlement as _kvspan_v1_TenantEntitlement, TenantEntitlement__Output as _kvspan_v1_TenantEntitlement__Output } from './kvspan/v1/TenantEntitlement.js';
import type { TenantInfo as _kvspan_v1_TenantInfo, TenantInfo__Output as _kvspan_v1_TenantInfo__Output } from './kvspan/v1/TenantInfo.js';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  kvspan: {
    v1: {
      AdminService: SubtypeConstructor<typeof grpc.Client, _kvspan_v1_AdminServiceClient> & { service: _kvspan_v1_AdminServiceDefinition }
      CacheGeometry: MessageTypeDefinition<_kvspan_v1_CacheGeometry, _kvspan_v1_CacheGeometry__Output>
      CacheInfo: MessageTypeDefinition<_kvspan_v1_CacheInfo, _kvspan_v1_CacheInfo__Output>
      CachePlan: MessageTypeDefinition<_kvspan_v1_CachePlan, _kvspan_v1_CachePlan__Output>
      DeviceCheck: MessageTypeDefinition<_kvspan_v1_DeviceCheck, _kvspan_v1_DeviceCheck__Output>
      DeviceInfo: MessageTypeDefinition<_kvspan_v1_DeviceInfo, _kvspan_v1_DeviceInfo__Output>
      Dtype: EnumTypeDefinition
      EvictSessionRequest: MessageTypeDefinition<_kvspan_v1_EvictSessionRequest, _kvspan_v1_EvictSessionRequest__Output>
      EvictSessionResponse: MessageTypeDefinition<_kvspan_v1_EvictSessionResponse, _kvspan_v1_EvictSessionResponse__Output>
      GetPoolRequest: MessageTypeDefinition<_kvspan_v1_GetPoolRequest, _kvspan_v1_GetPoolRequest__Output>
      GetPoolResponse: MessageTypeDefinition<_kvspan_v1_GetPoolResponse, _kvspan_v1_GetPoolResponse__Output>
      Holder: MessageTypeDefinition<_kvspan_v1_Holder, _kvspan_v1_Holder__Output>
      Layout: EnumTypeDefinition
      ListCachesRequest: MessageTypeDefinition<_kvspan_v1_ListCachesRequest, _kvspan_v1_ListCachesRequest__Output>
      ListCachesResponse: MessageTypeDefinition<_kvspan_v1_ListCachesResponse, _kvspan_v1_ListCachesResponse__Output>
      ListSessionsRequest: MessageTypeDefinition<_kvspan_v1_ListSessionsRequest, _kvspan_v1_ListSessionsRequest__Output>
      ListSessionsResponse: MessageTypeDefinition<_kvspan_v1_ListSessionsResponse, _kvspan_v1_ListSessionsResponse__Output>
      ListTenantsRequest: MessageTypeDefinition<_kvspan_v1_ListTenantsRequest, _kvspan_v1_ListTenantsRequest__Output>
      ListTenantsResponse: MessageTypeDefinition<_kvspan_v1_ListTenantsResponse, _kvspan_v1_ListTenantsResponse__Output>
      ProcessDifference: MessageTypeDefinition<_kvspan_v1_ProcessDifference, _kvspan_v1_ProcessDifference__Output>
      Refusal: MessageTypeDefinition<_kvspan_v1_Refusal, _kvspan_v1_Refusal__Output>
      SessionInfo: MessageTypeDefinition<_kvspan_v1_SessionInfo, _kvspan_v1_SessionInfo__Output>
      SessionState: EnumTypeDefinition
      SetTenantRequest: MessageTypeDefinition<_kvspan_v1_SetTenantRequest, _kvspan_v1_SetTenantRequest__Output>
      SetTenantResponse: MessageTypeDefinition<_kvspan_v1_SetTenantResponse, _kvspan_v1_SetTenantResponse__Output>
      TenantEntitlement: MessageTypeDefinition<_kvspan_v1_TenantEntitlement, _kvspan_v1_TenantEntitlement__Output>
      TenantInfo: MessageTypeDefinition<_kvspan_v1_TenantInfo, _kvspan_v1_TenantInfo__Output>
    }
  }
}

