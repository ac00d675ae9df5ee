// Original file: proto/kvspan/v1/admin.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { EvictSessionRequest as _kvspan_v1_EvictSessionRequest, EvictSessionRequest__Output as _kvspan_v1_EvictSessionRequest__Output } from '../../kvspan/v1/EvictSessionRequest.js';
import type { EvictSessionResponse as _kvspan_v1_EvictSessionResponse, EvictSessionResponse__Output as _kvspan_v1_EvictSessionResponse__Output } from '../../kvspan/v1/EvictSessionResponse.js';
import type { GetPoolRequest as _kvspan_v1_GetPoolRequest, GetPoolRequest__Output as _kvspan_v1_GetPoolRequest__Output } from '../../kvspan/v1/GetPoolRequest.js';
import type { GetPoolResponse as _kvspan_v1_GetPoolResponse, GetPoolResponse__Output as _kvspan_v1_GetPoolResponse__Output } from '../../kvspan/v1/GetPoolResponse.js';
import type { ListCachesRequest as _kvspan_v1_ListCachesRequest, ListCachesRequest__Output as _kvspan_v1_ListCachesRequest__Output } from '../../kvspan/v1/ListCachesRequest.js';
import type { ListCachesResponse as _kvspan_v1_ListCachesResponse, ListCachesResponse__Output as _kvspan_v1_ListCachesResponse__Output } from '../../kvspan/v1/ListCachesResponse.js';
import type { ListSessionsRequest as _kvspan_v1_ListSessionsRequest, ListSessionsRequest__Output as _kvspan_v1_ListSessionsRequest__Output } from '../../kvspan/v1/ListSessionsRequest.js';
import type { ListSessionsResponse as _kvspan_v1_ListSessionsResponse, ListSessionsResponse__Output as _kvspan_v1_ListSessionsResponse__Output } from '../../kvspan/v1/ListSessionsResponse.js';
import type { ListTenantsRequest as _kvspan_v1_ListTenantsRequest, ListTenantsRequest__Output as _kvspan_v1_ListTenantsRequest__Output } from '../../kvspan/v1/ListTenantsRequest.js';
import type { ListTenantsResponse as _kvspan_v1_ListTenantsResponse, ListTenantsResponse__Output as _kvspan_v1_ListTenantsResponse__Output } from '../../kvspan/v1/ListTenantsResponse.js';
import type { SetTenantRequest as _kvspan_v1_SetTenantRequest, SetTenantRequest__Output as _kvspan_v1_SetTenantRequest__Output } from '../../kvspan/v1/SetTenantRequest.js';
import type { SetTenantResponse as _kvspan_v1_SetTenantResponse, SetTenantResponse__Output as _kvspan_v1_SetTenantResponse__Output } from '../../kvspan/v1/SetTenantResponse.js';

export interface AdminServiceClient extends grpc.Client {
  /**
   * Puts a session out, connected or not: from now on its token is refused with SESSION_EVICTED, its
   * stream and its channel end, what it waits for is refused, and its process is let in again only
   * when it has been started anew. It gets nothing more. What it holds stays charged, to it and to its
   * tenant, until the process returns it or is gone: memory of a process that lives cannot be taken.
   * The token still serves to give back (Return, DestroyCache). The process is named in the answer
   * and the log; it is not killed unless `kill` says so. Evicting twice is once. Only on `admin.sock`.
   * Errors: PERMISSION_DENIED (another socket, or a process that the daemon may not kill),
   * SESSION_UNKNOWN. A refused eviction changes nothing.
   */
  EvictSession(argument: _kvspan_v1_EvictSessionRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_EvictSessionResponse__Output>): grpc.ClientUnaryCall;
  EvictSession(argument: _kvspan_v1_EvictSessionRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_EvictSessionResponse__Output>): grpc.ClientUnaryCall;
  EvictSession(argument: _kvspan_v1_EvictSessionRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_EvictSessionResponse__Output>): grpc.ClientUnaryCall;
  EvictSession(argument: _kvspan_v1_EvictSessionRequest, callback: grpc.requestCallback<_kvspan_v1_EvictSessionResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Puts a session out, connected or not: from now on its token is refused with SESSION_EVICTED, its
   * stream and its channel end, what it waits for is refused, and its process is let in again only
   * when it has been started anew. It gets nothing more. What it holds stays charged, to it and to its
   * tenant, until the process returns it or is gone: memory of a process that lives cannot be taken.
   * The token still serves to give back (Return, DestroyCache). The process is named in the answer
   * and the log; it is not killed unless `kill` says so. Evicting twice is once. Only on `admin.sock`.
   * Errors: PERMISSION_DENIED (another socket, or a process that the daemon may not kill),
   * SESSION_UNKNOWN. A refused eviction changes nothing.
   */
  evictSession(argument: _kvspan_v1_EvictSessionRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_EvictSessionResponse__Output>): grpc.ClientUnaryCall;
  evictSession(argument: _kvspan_v1_EvictSessionRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_EvictSessionResponse__Output>): grpc.ClientUnaryCall;
  evictSession(argument: _kvspan_v1_EvictSessionRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_EvictSessionResponse__Output>): grpc.ClientUnaryCall;
  evictSession(argument: _kvspan_v1_EvictSessionRequest, callback: grpc.requestCallback<_kvspan_v1_EvictSessionResponse__Output>): grpc.ClientUnaryCall;
  
  GetPool(argument: _kvspan_v1_GetPoolRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_GetPoolResponse__Output>): grpc.ClientUnaryCall;
  GetPool(argument: _kvspan_v1_GetPoolRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_GetPoolResponse__Output>): grpc.ClientUnaryCall;
  GetPool(argument: _kvspan_v1_GetPoolRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_GetPoolResponse__Output>): grpc.ClientUnaryCall;
  GetPool(argument: _kvspan_v1_GetPoolRequest, callback: grpc.requestCallback<_kvspan_v1_GetPoolResponse__Output>): grpc.ClientUnaryCall;
  getPool(argument: _kvspan_v1_GetPoolRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_GetPoolResponse__Output>): grpc.ClientUnaryCall;
  getPool(argument: _kvspan_v1_GetPoolRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_GetPoolResponse__Output>): grpc.ClientUnaryCall;
  getPool(argument: _kvspan_v1_GetPoolRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_GetPoolResponse__Output>): grpc.ClientUnaryCall;
  getPool(argument: _kvspan_v1_GetPoolRequest, callback: grpc.requestCallback<_kvspan_v1_GetPoolResponse__Output>): grpc.ClientUnaryCall;
  
  ListCaches(argument: _kvspan_v1_ListCachesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListCachesResponse__Output>): grpc.ClientUnaryCall;
  ListCaches(argument: _kvspan_v1_ListCachesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_ListCachesResponse__Output>): grpc.ClientUnaryCall;
  ListCaches(argument: _kvspan_v1_ListCachesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListCachesResponse__Output>): grpc.ClientUnaryCall;
  ListCaches(argument: _kvspan_v1_ListCachesRequest, callback: grpc.requestCallback<_kvspan_v1_ListCachesResponse__Output>): grpc.ClientUnaryCall;
  listCaches(argument: _kvspan_v1_ListCachesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListCachesResponse__Output>): grpc.ClientUnaryCall;
  listCaches(argument: _kvspan_v1_ListCachesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_ListCachesResponse__Output>): grpc.ClientUnaryCall;
  listCaches(argument: _kvspan_v1_ListCachesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListCachesResponse__Output>): grpc.ClientUnaryCall;
  listCaches(argument: _kvspan_v1_ListCachesRequest, callback: grpc.requestCallback<_kvspan_v1_ListCachesResponse__Output>): grpc.ClientUnaryCall;
  
  ListSessions(argument: _kvspan_v1_ListSessionsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListSessionsResponse__Output>): grpc.ClientUnaryCall;
  ListSessions(argument: _kvspan_v1_ListSessionsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_ListSessionsResponse__Output>): grpc.ClientUnaryCall;
  ListSessions(argument: _kvspan_v1_ListSessionsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListSessionsResponse__Output>): grpc.ClientUnaryCall;
  ListSessions(argument: _kvspan_v1_ListSessionsRequest, callback: grpc.requestCallback<_kvspan_v1_ListSessionsResponse__Output>): grpc.ClientUnaryCall;
  listSessions(argument: _kvspan_v1_ListSessionsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListSessionsResponse__Output>): grpc.ClientUnaryCall;
  listSessions(argument: _kvspan_v1_ListSessionsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_ListSessionsResponse__Output>): grpc.ClientUnaryCall;
  listSessions(argument: _kvspan_v1_ListSessionsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListSessionsResponse__Output>): grpc.ClientUnaryCall;
  listSessions(argument: _kvspan_v1_ListSessionsRequest, callback: grpc.requestCallback<_kvspan_v1_ListSessionsResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * What each tenant is entitled to and has, with the revision that a change must carry.
   */
  ListTenants(argument: _kvspan_v1_ListTenantsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListTenantsResponse__Output>): grpc.ClientUnaryCall;
  ListTenants(argument: _kvspan_v1_ListTenantsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_ListTenantsResponse__Output>): grpc.ClientUnaryCall;
  ListTenants(argument: _kvspan_v1_ListTenantsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListTenantsResponse__Output>): grpc.ClientUnaryCall;
  ListTenants(argument: _kvspan_v1_ListTenantsRequest, callback: grpc.requestCallback<_kvspan_v1_ListTenantsResponse__Output>): grpc.ClientUnaryCall;
  /**
   * What each tenant is entitled to and has, with the revision that a change must carry.
   */
  listTenants(argument: _kvspan_v1_ListTenantsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListTenantsResponse__Output>): grpc.ClientUnaryCall;
  listTenants(argument: _kvspan_v1_ListTenantsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_ListTenantsResponse__Output>): grpc.ClientUnaryCall;
  listTenants(argument: _kvspan_v1_ListTenantsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ListTenantsResponse__Output>): grpc.ClientUnaryCall;
  listTenants(argument: _kvspan_v1_ListTenantsRequest, callback: grpc.requestCallback<_kvspan_v1_ListTenantsResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Changes what a tenant is entitled to, all of it at once. In force when it is answered: waiting
   * grants have been looked at again, and those that can never be met now are refused. What a tenant
   * holds above a lower limit it keeps until others need it. Lasts until the daemon ends. Only on
   * `admin.sock`. Errors: PERMISSION_DENIED (another socket), TENANT_UNKNOWN, REVISION_STALE (somebody
   * changed something since: read again), INVALID_ARGUMENT (guarantees above the pool, a limit under
   * the guarantee, no weight; field named). A refused change changes nothing.
   */
  SetTenant(argument: _kvspan_v1_SetTenantRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_SetTenantResponse__Output>): grpc.ClientUnaryCall;
  SetTenant(argument: _kvspan_v1_SetTenantRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_SetTenantResponse__Output>): grpc.ClientUnaryCall;
  SetTenant(argument: _kvspan_v1_SetTenantRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_SetTenantResponse__Output>): grpc.ClientUnaryCall;
  SetTenant(argument: _kvspan_v1_SetTenantRequest, callback: grpc.requestCallback<_kvspan_v1_SetTenantResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Changes what a tenant is entitled to, all of it at once. In force when it is answered: waiting
   * grants have been looked at again, and those that can never be met now are refused. What a tenant
   * holds above a lower limit it keeps until others need it. Lasts until the daemon ends. Only on
   * `admin.sock`. Errors: PERMISSION_DENIED (another socket), TENANT_UNKNOWN, REVISION_STALE (somebody
   * changed something since: read again), INVALID_ARGUMENT (guarantees above the pool, a limit under
   * the guarantee, no weight; field named). A refused change changes nothing.
   */
  setTenant(argument: _kvspan_v1_SetTenantRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_SetTenantResponse__Output>): grpc.ClientUnaryCall;
  setTenant(argument: _kvspan_v1_SetTenantRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_SetTenantResponse__Output>): grpc.ClientUnaryCall;
  setTenant(argument: _kvspan_v1_SetTenantRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_SetTenantResponse__Output>): grpc.ClientUnaryCall;
  setTenant(argument: _kvspan_v1_SetTenantRequest, callback: grpc.requestCallback<_kvspan_v1_SetTenantResponse__Output>): grpc.ClientUnaryCall;
  
}

export interface AdminServiceHandlers extends grpc.UntypedServiceImplementation {
  /**
   * Puts a session out, connected or not: from now on its token is refused with SESSION_EVICTED, its
   * stream and its channel end, what it waits for is refused, and its process is let in again only
   * when it has been started anew. It gets nothing more. What it holds stays charged, to it and to its
   * tenant, until the process returns it or is gone: memory of a process that lives cannot be taken.
   * The token still serves to give back (Return, DestroyCache). The process is named in the answer
   * and the log; it is not killed unless `kill` says so. Evicting twice is once. Only on `admin.sock`.
   * Errors: PERMISSION_DENIED (another socket, or a process that the daemon may not kill),
   * SESSION_UNKNOWN. A refused eviction changes nothing.
   */
  EvictSession: grpc.handleUnaryCall<_kvspan_v1_EvictSessionRequest__Output, _kvspan_v1_EvictSessionResponse>;
  
  GetPool: grpc.handleUnaryCall<_kvspan_v1_GetPoolRequest__Output, _kvspan_v1_GetPoolResponse>;
  
  ListCaches: grpc.handleUnaryCall<_kvspan_v1_ListCachesRequest__Output, _kvspan_v1_ListCachesResponse>;
  
  ListSessions: grpc.handleUnaryCall<_kvspan_v1_ListSessionsRequest__Output, _kvspan_v1_ListSessionsResponse>;
  
  /**
   * What each tenant is entitled to and has, with the revision that a change must carry.
   */
  ListTenants: grpc.handleUnaryCall<_kvspan_v1_ListTenantsRequest__Output, _kvspan_v1_ListTenantsResponse>;
  
  /**
   * Changes what a tenant is entitled to, all of it at once. In force when it is answered: waiting
   * grants have been looked at again, and those that can never be met now are refused. What a tenant
   * holds above a lower limit it keeps until others need it. Lasts until the daemon ends. Only on
   * `admin.sock`. Errors: PERMISSION_DENIED (another socket), TENANT_UNKNOWN, REVISION_STALE (somebody
   * changed something since: read again), INVALID_ARGUMENT (guarantees above the pool, a limit under
   * the guarantee, no weight; field named). A refused change changes nothing.
   */
  SetTenant: grpc.handleUnaryCall<_kvspan_v1_SetTenantRequest__Output, _kvspan_v1_SetTenantResponse>;
  
}

export interface AdminServiceDefinition extends grpc.ServiceDefinition {
  EvictSession: MethodDefinition<_kvspan_v1_EvictSessionRequest, _kvspan_v1_EvictSessionResponse, _kvspan_v1_EvictSessionRequest__Output, _kvspan_v1_EvictSessionResponse__Output>
  GetPool: MethodDefinition<_kvspan_v1_GetPoolRequest, _kvspan_v1_GetPoolResponse, _kvspan_v1_GetPoolRequest__Output, _kvspan_v1_GetPoolResponse__Output>
  ListCaches: MethodDefinition<_kvspan_v1_ListCachesRequest, _kvspan_v1_ListCachesResponse, _kvspan_v1_ListCachesRequest__Output, _kvspan_v1_ListCachesResponse__Output>
  ListSessions: MethodDefinition<_kvspan_v1_ListSessionsRequest, _kvspan_v1_ListSessionsResponse, _kvspan_v1_ListSessionsRequest__Output, _kvspan_v1_ListSessionsResponse__Output>
  ListTenants: MethodDefinition<_kvspan_v1_ListTenantsRequest, _kvspan_v1_ListTenantsResponse, _kvspan_v1_ListTenantsRequest__Output, _kvspan_v1_ListTenantsResponse__Output>
  SetTenant: MethodDefinition<_kvspan_v1_SetTenantRequest, _kvspan_v1_SetTenantResponse, _kvspan_v1_SetTenantRequest__Output, _kvspan_v1_SetTenantResponse__Output>
}
