// Original file: proto/kvspan/v1/admin.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { GetPoolRequest as _kvspan_v1_GetPoolRequest, GetPoolRequest__Output as _kvspan_v1_GetPoolRequest__Output } from '../../kvspan/v1/GetPoolRequest.js';
import type { GetPoolResponse as _kvspan_v1_GetPoolResponse, GetPoolResponse__Output as _kvspan_v1_GetPoolResponse__Output } from '../../kvspan/v1/GetPoolResponse.js';
import type { ListCachesRequest as _kvspan_v1_ListCachesRequest, ListCachesRequest__Output as _kvspan_v1_ListCachesRequest__Output } from '../../kvspan/v1/ListCachesRequest.js';
import type { ListCachesResponse as _kvspan_v1_ListCachesResponse, ListCachesResponse__Output as _kvspan_v1_ListCachesResponse__Output } from '../../kvspan/v1/ListCachesResponse.js';
import type { ListSessionsRequest as _kvspan_v1_ListSessionsRequest, ListSessionsRequest__Output as _kvspan_v1_ListSessionsRequest__Output } from '../../kvspan/v1/ListSessionsRequest.js';
import type { ListSessionsResponse as _kvspan_v1_ListSessionsResponse, ListSessionsResponse__Output as _kvspan_v1_ListSessionsResponse__Output } from '../../kvspan/v1/ListSessionsResponse.js';

export interface AdminServiceClient extends grpc.Client {
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
  
}

export interface AdminServiceHandlers extends grpc.UntypedServiceImplementation {
  GetPool: grpc.handleUnaryCall<_kvspan_v1_GetPoolRequest__Output, _kvspan_v1_GetPoolResponse>;
  
  ListCaches: grpc.handleUnaryCall<_kvspan_v1_ListCachesRequest__Output, _kvspan_v1_ListCachesResponse>;
  
  ListSessions: grpc.handleUnaryCall<_kvspan_v1_ListSessionsRequest__Output, _kvspan_v1_ListSessionsResponse>;
  
}

export interface AdminServiceDefinition extends grpc.ServiceDefinition {
  GetPool: MethodDefinition<_kvspan_v1_GetPoolRequest, _kvspan_v1_GetPoolResponse, _kvspan_v1_GetPoolRequest__Output, _kvspan_v1_GetPoolResponse__Output>
  ListCaches: MethodDefinition<_kvspan_v1_ListCachesRequest, _kvspan_v1_ListCachesResponse, _kvspan_v1_ListCachesRequest__Output, _kvspan_v1_ListCachesResponse__Output>
  ListSessions: MethodDefinition<_kvspan_v1_ListSessionsRequest, _kvspan_v1_ListSessionsResponse, _kvspan_v1_ListSessionsRequest__Output, _kvspan_v1_ListSessionsResponse__Output>
}
