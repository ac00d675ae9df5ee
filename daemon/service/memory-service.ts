/** The unary calls of MemoryService. The stream is in `exchange.ts`. */
import type { Metadata, ServerUnaryCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import { decodeUint64, encodeUint32, encodeUint64 } from '../../proto/codec.js';
import { decodeGeometry, encodePlan } from '../../proto/domain.js';
import type { AcquireRequest__Output } from '../../proto/generated/kvspan/v1/AcquireRequest.js';
import type { AcquireResponse } from '../../proto/generated/kvspan/v1/AcquireResponse.js';
import type { AdoptRequest__Output } from '../../proto/generated/kvspan/v1/AdoptRequest.js';
import type { AdoptResponse } from '../../proto/generated/kvspan/v1/AdoptResponse.js';
import type { CreateCacheRequest__Output } from '../../proto/generated/kvspan/v1/CreateCacheRequest.js';
import type { CreateCacheResponse } from '../../proto/generated/kvspan/v1/CreateCacheResponse.js';
import type { DestroyCacheRequest__Output } from '../../proto/generated/kvspan/v1/DestroyCacheRequest.js';
import type { GetServerInfoResponse } from '../../proto/generated/kvspan/v1/GetServerInfoResponse.js';
import type { PlaceCacheRequest__Output } from '../../proto/generated/kvspan/v1/PlaceCacheRequest.js';
import type { UpdatePromiseRequest__Output } from '../../proto/generated/kvspan/v1/UpdatePromiseRequest.js';
import type { ReserveRequest__Output } from '../../proto/generated/kvspan/v1/ReserveRequest.js';
import type { ReserveResponse } from '../../proto/generated/kvspan/v1/ReserveResponse.js';
import type { ReturnRequest__Output } from '../../proto/generated/kvspan/v1/ReturnRequest.js';
import type { ReturnResponse } from '../../proto/generated/kvspan/v1/ReturnResponse.js';
import { EXTENT_ORDER_MAX, PAGE_BYTES, address } from '../core/types.js';
import type { ServiceContext } from './context.js';
import { exchangeHandler } from './exchange.js';
import { guardUnary } from './guard.js';
import type { Session } from './sessions.js';
import {
  decodeAcquire,
  decodeAdopt,
  decodeCacheId,
  decodeUpdatePromise,
  decodeReserve,
  decodeReturn,
  encodeDevice,
  encodeGrant,
  encodePromised,
  encodeReturned,
} from './wire.js';

/** Of a call that carries a session's token. */
type SessionHandler<Request, Response> = (
  context: ServiceContext,
  session: Session,
  request: Request,
  call: ServerUnaryCall<Request, Response>,
) => Response | Promise<Response>;

export function memoryService(context: ServiceContext): UntypedServiceImplementation {
  const { sessions } = context;
  const handled =
    (sessionOf: (call: Metadata) => Session) =>
    <Request, Response>(method: string, handler: SessionHandler<Request, Response>) =>
      guardUnary<Request, Response>(method, context, (request, call) =>
        handler(context, sessionOf(call.metadata), request, call),
      );
  const ofSession = handled(metadata => sessions.authenticate(metadata));
  const givingBack = handled(metadata => sessions.authenticateToGiveBack(metadata));
  return {
    GetServerInfo: guardUnary('GetServerInfo', context, () => serverInfo(context)),
    CreateCache: ofSession('CreateCache', createCache),
    PlaceCache: ofSession('PlaceCache', placeCache),
    DestroyCache: givingBack('DestroyCache', destroyCache),
    Acquire: ofSession('Acquire', acquire),
    Reserve: ofSession('Reserve', reserve),
    UpdatePromise: ofSession('UpdatePromise', updatePromise),
    Return: givingBack('Return', giveBack),
    Adopt: ofSession('Adopt', adopt),
    Exchange: exchangeHandler(context),
  };
}

function serverInfo({
  version,
  device,
  limits,
  extentSocket,
}: ServiceContext): GetServerInfoResponse {
  return {
    version,
    device: encodeDevice(device),
    pageBytes: encodeUint64(PAGE_BYTES, 'page_bytes'),
    extentOrderMax: encodeUint32(EXTENT_ORDER_MAX, 'extent_order_max'),
    poolBytes: encodeUint64(limits.poolBytes, 'pool_bytes'),
    sessionLimitBytes: encodeUint64(limits.sessionLimitBytes, 'session_limit_bytes'),
    extentsPerGrantMax: encodeUint32(limits.extentsPerGrantMax, 'extents_per_grant_max'),
    cachesPerSessionMax: encodeUint32(limits.cachesPerSessionMax, 'caches_per_session_max'),
    grantsInFlightMax: encodeUint32(limits.grantsInFlightMax, 'grants_in_flight_max'),
    addressPlanBytes: encodeUint64(limits.addressPlanBytes, 'address_plan_bytes'),
    extentSocket,
  };
}

function createCache(
  { ledger }: ServiceContext,
  session: Session,
  request: CreateCacheRequest__Output,
): CreateCacheResponse {
  const wanted = address(decodeUint64(request.wantedBaseAddress, 'wanted_base_address'));
  const cache = ledger.createCache(
    session.id,
    decodeGeometry(request.geometry),
    request.name,
    wanted,
  );
  session.log.info(
    { cache: cache.id, bytes: cache.plan.totalBytes, name: cache.name },
    'cache created',
  );
  return { cacheId: encodeUint64(cache.id, 'cache_id'), plan: encodePlan(cache.plan) };
}

function placeCache(
  { ledger }: ServiceContext,
  session: Session,
  request: PlaceCacheRequest__Output,
): object {
  const base = address(decodeUint64(request.actualBaseAddress, 'actual_base_address'));
  ledger.placeCache(session.id, decodeCacheId(request.cacheId), base);
  return {};
}

function destroyCache(
  { ledger }: ServiceContext,
  session: Session,
  request: DestroyCacheRequest__Output,
): object {
  const cache = decodeCacheId(request.cacheId);
  ledger.destroyCache(session.id, cache);
  session.log.info({ cache }, 'cache destroyed');
  return {};
}

async function acquire(
  { effects, sessions }: ServiceContext,
  session: Session,
  wire: AcquireRequest__Output,
  call: ServerUnaryCall<AcquireRequest__Output, AcquireResponse>,
): Promise<AcquireResponse> {
  const request = decodeAcquire(wire);
  const granted = effects.acquire(session, request);
  const answer = await whileCalled(call, granted, () => {
    if (sessions.find(session.id) !== null) effects.cancel(session.id, request.grant);
  });
  return { grant: encodeGrant(answer) };
}

async function reserve(
  { effects, sessions }: ServiceContext,
  session: Session,
  wire: ReserveRequest__Output,
  call: ServerUnaryCall<ReserveRequest__Output, ReserveResponse>,
): Promise<ReserveResponse> {
  const request = decodeReserve(wire);
  const promised = effects.reserve(session, request);
  const answer = await whileCalled(call, promised, () => {
    if (sessions.find(session.id) !== null) effects.cancel(session.id, request.promise);
  });
  return { promised: encodePromised(answer) };
}

/** A caller that has gone (its deadline, a cancellation, its death) waits for nothing any more. */
async function whileCalled<T>(
  call: { readonly cancelled: boolean; on(event: 'cancelled', listener: () => void): unknown },
  decided: Promise<T>,
  withdraw: () => void,
): Promise<T> {
  let answered = false;
  const gone = (): void => {
    if (!answered) withdraw();
  };
  call.on('cancelled', gone);
  if (call.cancelled) gone();
  try {
    return await decided;
  } finally {
    answered = true;
  }
}

function updatePromise(
  { ledger, effects, clock }: ServiceContext,
  session: Session,
  wire: UpdatePromiseRequest__Output,
): object {
  const { promise, leftBytes } = decodeUpdatePromise(wire);
  effects.run(ledger.keepPromise(session.id, promise, leftBytes, clock.now()));
  return {};
}

function giveBack(
  { ledger, effects, clock }: ServiceContext,
  session: Session,
  request: ReturnRequest__Output,
): ReturnResponse {
  const { returned, effects: followUps } = ledger.returnExtents(
    session.id,
    decodeReturn(request),
    clock.now(),
  );
  effects.run(followUps);
  return encodeReturned(returned);
}

function adopt(
  { ledger, effects: runner, clock }: ServiceContext,
  session: Session,
  request: AdoptRequest__Output,
): AdoptResponse {
  const extents = decodeAdopt(request);
  const { heldBytes, effects } = ledger.adopt(session.id, extents, clock.now());
  runner.run(effects);
  session.log.info(
    { extents: extents.length, bytes: heldBytes },
    'extents of an earlier session adopted',
  );
  return { heldBytes: encodeUint64(heldBytes, 'held_bytes') };
}
