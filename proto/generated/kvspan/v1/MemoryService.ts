// Original file: proto/kvspan/v1/memory.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { AcquireRequest as _kvspan_v1_AcquireRequest, AcquireRequest__Output as _kvspan_v1_AcquireRequest__Output } from '../../kvspan/v1/AcquireRequest.js';
import type { AcquireResponse as _kvspan_v1_AcquireResponse, AcquireResponse__Output as _kvspan_v1_AcquireResponse__Output } from '../../kvspan/v1/AcquireResponse.js';
import type { AdoptRequest as _kvspan_v1_AdoptRequest, AdoptRequest__Output as _kvspan_v1_AdoptRequest__Output } from '../../kvspan/v1/AdoptRequest.js';
import type { AdoptResponse as _kvspan_v1_AdoptResponse, AdoptResponse__Output as _kvspan_v1_AdoptResponse__Output } from '../../kvspan/v1/AdoptResponse.js';
import type { CreateCacheRequest as _kvspan_v1_CreateCacheRequest, CreateCacheRequest__Output as _kvspan_v1_CreateCacheRequest__Output } from '../../kvspan/v1/CreateCacheRequest.js';
import type { CreateCacheResponse as _kvspan_v1_CreateCacheResponse, CreateCacheResponse__Output as _kvspan_v1_CreateCacheResponse__Output } from '../../kvspan/v1/CreateCacheResponse.js';
import type { DestroyCacheRequest as _kvspan_v1_DestroyCacheRequest, DestroyCacheRequest__Output as _kvspan_v1_DestroyCacheRequest__Output } from '../../kvspan/v1/DestroyCacheRequest.js';
import type { DestroyCacheResponse as _kvspan_v1_DestroyCacheResponse, DestroyCacheResponse__Output as _kvspan_v1_DestroyCacheResponse__Output } from '../../kvspan/v1/DestroyCacheResponse.js';
import type { ExchangeRequest as _kvspan_v1_ExchangeRequest, ExchangeRequest__Output as _kvspan_v1_ExchangeRequest__Output } from '../../kvspan/v1/ExchangeRequest.js';
import type { ExchangeResponse as _kvspan_v1_ExchangeResponse, ExchangeResponse__Output as _kvspan_v1_ExchangeResponse__Output } from '../../kvspan/v1/ExchangeResponse.js';
import type { GetServerInfoRequest as _kvspan_v1_GetServerInfoRequest, GetServerInfoRequest__Output as _kvspan_v1_GetServerInfoRequest__Output } from '../../kvspan/v1/GetServerInfoRequest.js';
import type { GetServerInfoResponse as _kvspan_v1_GetServerInfoResponse, GetServerInfoResponse__Output as _kvspan_v1_GetServerInfoResponse__Output } from '../../kvspan/v1/GetServerInfoResponse.js';
import type { PlaceCacheRequest as _kvspan_v1_PlaceCacheRequest, PlaceCacheRequest__Output as _kvspan_v1_PlaceCacheRequest__Output } from '../../kvspan/v1/PlaceCacheRequest.js';
import type { PlaceCacheResponse as _kvspan_v1_PlaceCacheResponse, PlaceCacheResponse__Output as _kvspan_v1_PlaceCacheResponse__Output } from '../../kvspan/v1/PlaceCacheResponse.js';
import type { ReserveRequest as _kvspan_v1_ReserveRequest, ReserveRequest__Output as _kvspan_v1_ReserveRequest__Output } from '../../kvspan/v1/ReserveRequest.js';
import type { ReserveResponse as _kvspan_v1_ReserveResponse, ReserveResponse__Output as _kvspan_v1_ReserveResponse__Output } from '../../kvspan/v1/ReserveResponse.js';
import type { ReturnRequest as _kvspan_v1_ReturnRequest, ReturnRequest__Output as _kvspan_v1_ReturnRequest__Output } from '../../kvspan/v1/ReturnRequest.js';
import type { ReturnResponse as _kvspan_v1_ReturnResponse, ReturnResponse__Output as _kvspan_v1_ReturnResponse__Output } from '../../kvspan/v1/ReturnResponse.js';
import type { UpdatePromiseRequest as _kvspan_v1_UpdatePromiseRequest, UpdatePromiseRequest__Output as _kvspan_v1_UpdatePromiseRequest__Output } from '../../kvspan/v1/UpdatePromiseRequest.js';
import type { UpdatePromiseResponse as _kvspan_v1_UpdatePromiseResponse, UpdatePromiseResponse__Output as _kvspan_v1_UpdatePromiseResponse__Output } from '../../kvspan/v1/UpdatePromiseResponse.js';

export interface MemoryServiceClient extends grpc.Client {
  /**
   * The unary twin of `ExchangeRequest.acquire`, for simple clients. The extents themselves arrive
   * on the extent channel tagged with `acquire.grant_id`, possibly before this call returns.
   * Errors: RESOURCE_EXHAUSTED (pool or session limit, with who holds what), GRANT_DUPLICATE,
   * INVALID_ARGUMENT, DRAINING.
   */
  Acquire(argument: _kvspan_v1_AcquireRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_AcquireResponse__Output>): grpc.ClientUnaryCall;
  Acquire(argument: _kvspan_v1_AcquireRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_AcquireResponse__Output>): grpc.ClientUnaryCall;
  Acquire(argument: _kvspan_v1_AcquireRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_AcquireResponse__Output>): grpc.ClientUnaryCall;
  Acquire(argument: _kvspan_v1_AcquireRequest, callback: grpc.requestCallback<_kvspan_v1_AcquireResponse__Output>): grpc.ClientUnaryCall;
  /**
   * The unary twin of `ExchangeRequest.acquire`, for simple clients. The extents themselves arrive
   * on the extent channel tagged with `acquire.grant_id`, possibly before this call returns.
   * Errors: RESOURCE_EXHAUSTED (pool or session limit, with who holds what), GRANT_DUPLICATE,
   * INVALID_ARGUMENT, DRAINING.
   */
  acquire(argument: _kvspan_v1_AcquireRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_AcquireResponse__Output>): grpc.ClientUnaryCall;
  acquire(argument: _kvspan_v1_AcquireRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_AcquireResponse__Output>): grpc.ClientUnaryCall;
  acquire(argument: _kvspan_v1_AcquireRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_AcquireResponse__Output>): grpc.ClientUnaryCall;
  acquire(argument: _kvspan_v1_AcquireRequest, callback: grpc.requestCallback<_kvspan_v1_AcquireResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * The client's new session takes on the extents that the client still holds: from an earlier
   * daemon, so that its memory is accounted again, or from a session of the same process whose
   * connection has ended, from whose account they move. All or nothing.
   * Errors: RESOURCE_EXHAUSTED, INVALID_ARGUMENT, EXTENT_FOREIGN (another process's, an open
   * session's, or still in flight: that last may be tried again).
   */
  Adopt(argument: _kvspan_v1_AdoptRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_AdoptResponse__Output>): grpc.ClientUnaryCall;
  Adopt(argument: _kvspan_v1_AdoptRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_AdoptResponse__Output>): grpc.ClientUnaryCall;
  Adopt(argument: _kvspan_v1_AdoptRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_AdoptResponse__Output>): grpc.ClientUnaryCall;
  Adopt(argument: _kvspan_v1_AdoptRequest, callback: grpc.requestCallback<_kvspan_v1_AdoptResponse__Output>): grpc.ClientUnaryCall;
  /**
   * The client's new session takes on the extents that the client still holds: from an earlier
   * daemon, so that its memory is accounted again, or from a session of the same process whose
   * connection has ended, from whose account they move. All or nothing.
   * Errors: RESOURCE_EXHAUSTED, INVALID_ARGUMENT, EXTENT_FOREIGN (another process's, an open
   * session's, or still in flight: that last may be tried again).
   */
  adopt(argument: _kvspan_v1_AdoptRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_AdoptResponse__Output>): grpc.ClientUnaryCall;
  adopt(argument: _kvspan_v1_AdoptRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_AdoptResponse__Output>): grpc.ClientUnaryCall;
  adopt(argument: _kvspan_v1_AdoptRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_AdoptResponse__Output>): grpc.ClientUnaryCall;
  adopt(argument: _kvspan_v1_AdoptRequest, callback: grpc.requestCallback<_kvspan_v1_AdoptResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Assigns a cache its range of the address plan. No memory is granted by it.
   * Errors: INVALID_ARGUMENT (field named), ADDRESS_PLAN_EXHAUSTED, CACHE_LIMIT, SESSION_UNKNOWN.
   */
  CreateCache(argument: _kvspan_v1_CreateCacheRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_CreateCacheResponse__Output>): grpc.ClientUnaryCall;
  CreateCache(argument: _kvspan_v1_CreateCacheRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_CreateCacheResponse__Output>): grpc.ClientUnaryCall;
  CreateCache(argument: _kvspan_v1_CreateCacheRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_CreateCacheResponse__Output>): grpc.ClientUnaryCall;
  CreateCache(argument: _kvspan_v1_CreateCacheRequest, callback: grpc.requestCallback<_kvspan_v1_CreateCacheResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Assigns a cache its range of the address plan. No memory is granted by it.
   * Errors: INVALID_ARGUMENT (field named), ADDRESS_PLAN_EXHAUSTED, CACHE_LIMIT, SESSION_UNKNOWN.
   */
  createCache(argument: _kvspan_v1_CreateCacheRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_CreateCacheResponse__Output>): grpc.ClientUnaryCall;
  createCache(argument: _kvspan_v1_CreateCacheRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_CreateCacheResponse__Output>): grpc.ClientUnaryCall;
  createCache(argument: _kvspan_v1_CreateCacheRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_CreateCacheResponse__Output>): grpc.ClientUnaryCall;
  createCache(argument: _kvspan_v1_CreateCacheRequest, callback: grpc.requestCallback<_kvspan_v1_CreateCacheResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Gives a cache's addresses back. Extents are the session's, not the cache's: they stay.
   */
  DestroyCache(argument: _kvspan_v1_DestroyCacheRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_DestroyCacheResponse__Output>): grpc.ClientUnaryCall;
  DestroyCache(argument: _kvspan_v1_DestroyCacheRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_DestroyCacheResponse__Output>): grpc.ClientUnaryCall;
  DestroyCache(argument: _kvspan_v1_DestroyCacheRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_DestroyCacheResponse__Output>): grpc.ClientUnaryCall;
  DestroyCache(argument: _kvspan_v1_DestroyCacheRequest, callback: grpc.requestCallback<_kvspan_v1_DestroyCacheResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Gives a cache's addresses back. Extents are the session's, not the cache's: they stay.
   */
  destroyCache(argument: _kvspan_v1_DestroyCacheRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_DestroyCacheResponse__Output>): grpc.ClientUnaryCall;
  destroyCache(argument: _kvspan_v1_DestroyCacheRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_DestroyCacheResponse__Output>): grpc.ClientUnaryCall;
  destroyCache(argument: _kvspan_v1_DestroyCacheRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_DestroyCacheResponse__Output>): grpc.ClientUnaryCall;
  destroyCache(argument: _kvspan_v1_DestroyCacheRequest, callback: grpc.requestCallback<_kvspan_v1_DestroyCacheResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * The session's stream: grants and returns in, answers and the daemon's events out. One per
   * session; a second is refused with STREAM_EXISTS. Its end does not end the session.
   */
  Exchange(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_kvspan_v1_ExchangeRequest, _kvspan_v1_ExchangeResponse__Output>;
  Exchange(options?: grpc.CallOptions): grpc.ClientDuplexStream<_kvspan_v1_ExchangeRequest, _kvspan_v1_ExchangeResponse__Output>;
  /**
   * The session's stream: grants and returns in, answers and the daemon's events out. One per
   * session; a second is refused with STREAM_EXISTS. Its end does not end the session.
   */
  exchange(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_kvspan_v1_ExchangeRequest, _kvspan_v1_ExchangeResponse__Output>;
  exchange(options?: grpc.CallOptions): grpc.ClientDuplexStream<_kvspan_v1_ExchangeRequest, _kvspan_v1_ExchangeResponse__Output>;
  
  /**
   * What the daemon serves, and its limits. Needs no token.
   */
  GetServerInfo(argument: _kvspan_v1_GetServerInfoRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_GetServerInfoResponse__Output>): grpc.ClientUnaryCall;
  GetServerInfo(argument: _kvspan_v1_GetServerInfoRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_GetServerInfoResponse__Output>): grpc.ClientUnaryCall;
  GetServerInfo(argument: _kvspan_v1_GetServerInfoRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_GetServerInfoResponse__Output>): grpc.ClientUnaryCall;
  GetServerInfo(argument: _kvspan_v1_GetServerInfoRequest, callback: grpc.requestCallback<_kvspan_v1_GetServerInfoResponse__Output>): grpc.ClientUnaryCall;
  /**
   * What the daemon serves, and its limits. Needs no token.
   */
  getServerInfo(argument: _kvspan_v1_GetServerInfoRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_GetServerInfoResponse__Output>): grpc.ClientUnaryCall;
  getServerInfo(argument: _kvspan_v1_GetServerInfoRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_GetServerInfoResponse__Output>): grpc.ClientUnaryCall;
  getServerInfo(argument: _kvspan_v1_GetServerInfoRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_GetServerInfoResponse__Output>): grpc.ClientUnaryCall;
  getServerInfo(argument: _kvspan_v1_GetServerInfoRequest, callback: grpc.requestCallback<_kvspan_v1_GetServerInfoResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Tells the daemon where the cache really lies, when the client could not have the planned
   * addresses. Errors: CACHE_UNKNOWN, INVALID_ARGUMENT.
   */
  PlaceCache(argument: _kvspan_v1_PlaceCacheRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_PlaceCacheResponse__Output>): grpc.ClientUnaryCall;
  PlaceCache(argument: _kvspan_v1_PlaceCacheRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_PlaceCacheResponse__Output>): grpc.ClientUnaryCall;
  PlaceCache(argument: _kvspan_v1_PlaceCacheRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_PlaceCacheResponse__Output>): grpc.ClientUnaryCall;
  PlaceCache(argument: _kvspan_v1_PlaceCacheRequest, callback: grpc.requestCallback<_kvspan_v1_PlaceCacheResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Tells the daemon where the cache really lies, when the client could not have the planned
   * addresses. Errors: CACHE_UNKNOWN, INVALID_ARGUMENT.
   */
  placeCache(argument: _kvspan_v1_PlaceCacheRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_PlaceCacheResponse__Output>): grpc.ClientUnaryCall;
  placeCache(argument: _kvspan_v1_PlaceCacheRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_PlaceCacheResponse__Output>): grpc.ClientUnaryCall;
  placeCache(argument: _kvspan_v1_PlaceCacheRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_PlaceCacheResponse__Output>): grpc.ClientUnaryCall;
  placeCache(argument: _kvspan_v1_PlaceCacheRequest, callback: grpc.requestCallback<_kvspan_v1_PlaceCacheResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Asks for a promise: memory that the daemon keeps free for one slot of a cache to grow to a length,
   * so that whoever admitted the request need never preempt it for want of memory. Nothing is granted
   * by it; what is promised counts as if it were held, against the pool, the session's limit and its
   * tenant's, and is used by `Acquire` with its `promise_id`, which is then met at once. It waits in
   * line as a grant does, and is cancelled as one. The unary twin of `ExchangeRequest.reserve`.
   * 
   * A promise is made smaller by what is used of it and by `UpdatePromiseRequest`, never larger. It ends when
   * nothing is left of it, when it lapses (no use and no update for `lapse_ms`), and with its session's
   * connection. A promise out of what a tenant borrowed is cut when another tenant's guarantee needs
   * the memory, or when entitlements change; `PromiseCut` tells of it. Within a guarantee it is never cut.
   * Like extents it is the session's, not the cache's: DestroyCache leaves it to lapse.
   * Errors: INVALID_ARGUMENT (field named), CACHE_UNKNOWN, GRANT_DUPLICATE (the number is in use),
   * RESOURCE_EXHAUSTED (as for Acquire), DRAINING. A refused one changes nothing.
   */
  Reserve(argument: _kvspan_v1_ReserveRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ReserveResponse__Output>): grpc.ClientUnaryCall;
  Reserve(argument: _kvspan_v1_ReserveRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_ReserveResponse__Output>): grpc.ClientUnaryCall;
  Reserve(argument: _kvspan_v1_ReserveRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ReserveResponse__Output>): grpc.ClientUnaryCall;
  Reserve(argument: _kvspan_v1_ReserveRequest, callback: grpc.requestCallback<_kvspan_v1_ReserveResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Asks for a promise: memory that the daemon keeps free for one slot of a cache to grow to a length,
   * so that whoever admitted the request need never preempt it for want of memory. Nothing is granted
   * by it; what is promised counts as if it were held, against the pool, the session's limit and its
   * tenant's, and is used by `Acquire` with its `promise_id`, which is then met at once. It waits in
   * line as a grant does, and is cancelled as one. The unary twin of `ExchangeRequest.reserve`.
   * 
   * A promise is made smaller by what is used of it and by `UpdatePromiseRequest`, never larger. It ends when
   * nothing is left of it, when it lapses (no use and no update for `lapse_ms`), and with its session's
   * connection. A promise out of what a tenant borrowed is cut when another tenant's guarantee needs
   * the memory, or when entitlements change; `PromiseCut` tells of it. Within a guarantee it is never cut.
   * Like extents it is the session's, not the cache's: DestroyCache leaves it to lapse.
   * Errors: INVALID_ARGUMENT (field named), CACHE_UNKNOWN, GRANT_DUPLICATE (the number is in use),
   * RESOURCE_EXHAUSTED (as for Acquire), DRAINING. A refused one changes nothing.
   */
  reserve(argument: _kvspan_v1_ReserveRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ReserveResponse__Output>): grpc.ClientUnaryCall;
  reserve(argument: _kvspan_v1_ReserveRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_ReserveResponse__Output>): grpc.ClientUnaryCall;
  reserve(argument: _kvspan_v1_ReserveRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ReserveResponse__Output>): grpc.ClientUnaryCall;
  reserve(argument: _kvspan_v1_ReserveRequest, callback: grpc.requestCallback<_kvspan_v1_ReserveResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * The unary twin of `ExchangeRequest.return`. All or nothing: one bad id and no extent is
   * returned. Errors: EXTENT_UNKNOWN, EXTENT_FOREIGN, EXTENT_RETURNED.
   */
  Return(argument: _kvspan_v1_ReturnRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ReturnResponse__Output>): grpc.ClientUnaryCall;
  Return(argument: _kvspan_v1_ReturnRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_ReturnResponse__Output>): grpc.ClientUnaryCall;
  Return(argument: _kvspan_v1_ReturnRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ReturnResponse__Output>): grpc.ClientUnaryCall;
  Return(argument: _kvspan_v1_ReturnRequest, callback: grpc.requestCallback<_kvspan_v1_ReturnResponse__Output>): grpc.ClientUnaryCall;
  /**
   * The unary twin of `ExchangeRequest.return`. All or nothing: one bad id and no extent is
   * returned. Errors: EXTENT_UNKNOWN, EXTENT_FOREIGN, EXTENT_RETURNED.
   */
  return(argument: _kvspan_v1_ReturnRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ReturnResponse__Output>): grpc.ClientUnaryCall;
  return(argument: _kvspan_v1_ReturnRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_ReturnResponse__Output>): grpc.ClientUnaryCall;
  return(argument: _kvspan_v1_ReturnRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_ReturnResponse__Output>): grpc.ClientUnaryCall;
  return(argument: _kvspan_v1_ReturnRequest, callback: grpc.requestCallback<_kvspan_v1_ReturnResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * The unary twin of `ExchangeRequest.promise`. Errors: PROMISE_UNKNOWN, INVALID_ARGUMENT.
   */
  UpdatePromise(argument: _kvspan_v1_UpdatePromiseRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_UpdatePromiseResponse__Output>): grpc.ClientUnaryCall;
  UpdatePromise(argument: _kvspan_v1_UpdatePromiseRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_UpdatePromiseResponse__Output>): grpc.ClientUnaryCall;
  UpdatePromise(argument: _kvspan_v1_UpdatePromiseRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_UpdatePromiseResponse__Output>): grpc.ClientUnaryCall;
  UpdatePromise(argument: _kvspan_v1_UpdatePromiseRequest, callback: grpc.requestCallback<_kvspan_v1_UpdatePromiseResponse__Output>): grpc.ClientUnaryCall;
  /**
   * The unary twin of `ExchangeRequest.promise`. Errors: PROMISE_UNKNOWN, INVALID_ARGUMENT.
   */
  updatePromise(argument: _kvspan_v1_UpdatePromiseRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_UpdatePromiseResponse__Output>): grpc.ClientUnaryCall;
  updatePromise(argument: _kvspan_v1_UpdatePromiseRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_kvspan_v1_UpdatePromiseResponse__Output>): grpc.ClientUnaryCall;
  updatePromise(argument: _kvspan_v1_UpdatePromiseRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_kvspan_v1_UpdatePromiseResponse__Output>): grpc.ClientUnaryCall;
  updatePromise(argument: _kvspan_v1_UpdatePromiseRequest, callback: grpc.requestCallback<_kvspan_v1_UpdatePromiseResponse__Output>): grpc.ClientUnaryCall;
  
}

export interface MemoryServiceHandlers extends grpc.UntypedServiceImplementation {
  /**
   * The unary twin of `ExchangeRequest.acquire`, for simple clients. The extents themselves arrive
   * on the extent channel tagged with `acquire.grant_id`, possibly before this call returns.
   * Errors: RESOURCE_EXHAUSTED (pool or session limit, with who holds what), GRANT_DUPLICATE,
   * INVALID_ARGUMENT, DRAINING.
   */
  Acquire: grpc.handleUnaryCall<_kvspan_v1_AcquireRequest__Output, _kvspan_v1_AcquireResponse>;
  
  /**
   * The client's new session takes on the extents that the client still holds: from an earlier
   * daemon, so that its memory is accounted again, or from a session of the same process whose
   * connection has ended, from whose account they move. All or nothing.
   * Errors: RESOURCE_EXHAUSTED, INVALID_ARGUMENT, EXTENT_FOREIGN (another process's, an open
   * session's, or still in flight: that last may be tried again).
   */
  Adopt: grpc.handleUnaryCall<_kvspan_v1_AdoptRequest__Output, _kvspan_v1_AdoptResponse>;
  
  /**
   * Assigns a cache its range of the address plan. No memory is granted by it.
   * Errors: INVALID_ARGUMENT (field named), ADDRESS_PLAN_EXHAUSTED, CACHE_LIMIT, SESSION_UNKNOWN.
   */
  CreateCache: grpc.handleUnaryCall<_kvspan_v1_CreateCacheRequest__Output, _kvspan_v1_CreateCacheResponse>;
  
  /**
   * Gives a cache's addresses back. Extents are the session's, not the cache's: they stay.
   */
  DestroyCache: grpc.handleUnaryCall<_kvspan_v1_DestroyCacheRequest__Output, _kvspan_v1_DestroyCacheResponse>;
  
  /**
   * The session's stream: grants and returns in, answers and the daemon's events out. One per
   * session; a second is refused with STREAM_EXISTS. Its end does not end the session.
   */
  Exchange: grpc.handleBidiStreamingCall<_kvspan_v1_ExchangeRequest__Output, _kvspan_v1_ExchangeResponse>;
  
  /**
   * What the daemon serves, and its limits. Needs no token.
   */
  GetServerInfo: grpc.handleUnaryCall<_kvspan_v1_GetServerInfoRequest__Output, _kvspan_v1_GetServerInfoResponse>;
  
  /**
   * Tells the daemon where the cache really lies, when the client could not have the planned
   * addresses. Errors: CACHE_UNKNOWN, INVALID_ARGUMENT.
   */
  PlaceCache: grpc.handleUnaryCall<_kvspan_v1_PlaceCacheRequest__Output, _kvspan_v1_PlaceCacheResponse>;
  
  /**
   * Asks for a promise: memory that the daemon keeps free for one slot of a cache to grow to a length,
   * so that whoever admitted the request need never preempt it for want of memory. Nothing is granted
   * by it; what is promised counts as if it were held, against the pool, the session's limit and its
   * tenant's, and is used by `Acquire` with its `promise_id`, which is then met at once. It waits in
   * line as a grant does, and is cancelled as one. The unary twin of `ExchangeRequest.reserve`.
   * 
   * A promise is made smaller by what is used of it and by `UpdatePromiseRequest`, never larger. It ends when
   * nothing is left of it, when it lapses (no use and no update for `lapse_ms`), and with its session's
   * connection. A promise out of what a tenant borrowed is cut when another tenant's guarantee needs
   * the memory, or when entitlements change; `PromiseCut` tells of it. Within a guarantee it is never cut.
   * Like extents it is the session's, not the cache's: DestroyCache leaves it to lapse.
   * Errors: INVALID_ARGUMENT (field named), CACHE_UNKNOWN, GRANT_DUPLICATE (the number is in use),
   * RESOURCE_EXHAUSTED (as for Acquire), DRAINING. A refused one changes nothing.
   */
  Reserve: grpc.handleUnaryCall<_kvspan_v1_ReserveRequest__Output, _kvspan_v1_ReserveResponse>;
  
  /**
   * The unary twin of `ExchangeRequest.return`. All or nothing: one bad id and no extent is
   * returned. Errors: EXTENT_UNKNOWN, EXTENT_FOREIGN, EXTENT_RETURNED.
   */
  Return: grpc.handleUnaryCall<_kvspan_v1_ReturnRequest__Output, _kvspan_v1_ReturnResponse>;
  
  /**
   * The unary twin of `ExchangeRequest.promise`. Errors: PROMISE_UNKNOWN, INVALID_ARGUMENT.
   */
  UpdatePromise: grpc.handleUnaryCall<_kvspan_v1_UpdatePromiseRequest__Output, _kvspan_v1_UpdatePromiseResponse>;
  
}

export interface MemoryServiceDefinition extends grpc.ServiceDefinition {
  Acquire: MethodDefinition<_kvspan_v1_AcquireRequest, _kvspan_v1_AcquireResponse, _kvspan_v1_AcquireRequest__Output, _kvspan_v1_AcquireResponse__Output>
  Adopt: MethodDefinition<_kvspan_v1_AdoptRequest, _kvspan_v1_AdoptResponse, _kvspan_v1_AdoptRequest__Output, _kvspan_v1_AdoptResponse__Output>
  CreateCache: MethodDefinition<_kvspan_v1_CreateCacheRequest, _kvspan_v1_CreateCacheResponse, _kvspan_v1_CreateCacheRequest__Output, _kvspan_v1_CreateCacheResponse__Output>
  DestroyCache: MethodDefinition<_kvspan_v1_DestroyCacheRequest, _kvspan_v1_DestroyCacheResponse, _kvspan_v1_DestroyCacheRequest__Output, _kvspan_v1_DestroyCacheResponse__Output>
  Exchange: MethodDefinition<_kvspan_v1_ExchangeRequest, _kvspan_v1_ExchangeResponse, _kvspan_v1_ExchangeRequest__Output, _kvspan_v1_ExchangeResponse__Output>
  GetServerInfo: MethodDefinition<_kvspan_v1_GetServerInfoRequest, _kvspan_v1_GetServerInfoResponse, _kvspan_v1_GetServerInfoRequest__Output, _kvspan_v1_GetServerInfoResponse__Output>
  PlaceCache: MethodDefinition<_kvspan_v1_PlaceCacheRequest, _kvspan_v1_PlaceCacheResponse, _kvspan_v1_PlaceCacheRequest__Output, _kvspan_v1_PlaceCacheResponse__Output>
  Reserve: MethodDefinition<_kvspan_v1_ReserveRequest, _kvspan_v1_ReserveResponse, _kvspan_v1_ReserveRequest__Output, _kvspan_v1_ReserveResponse__Output>
  Return: MethodDefinition<_kvspan_v1_ReturnRequest, _kvspan_v1_ReturnResponse, _kvspan_v1_ReturnRequest__Output, _kvspan_v1_ReturnResponse__Output>
  UpdatePromise: MethodDefinition<_kvspan_v1_UpdatePromiseRequest, _kvspan_v1_UpdatePromiseResponse, _kvspan_v1_UpdatePromiseRequest__Output, _kvspan_v1_UpdatePromiseResponse__Output>
}
