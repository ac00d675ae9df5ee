/** The view for operators, and what they may change. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { decodeUint64, encodeUint32, encodeUint64 } from '../../proto/codec.js';
import { KvspanError } from '../../proto/errors.js';
import type { EvictSessionRequest__Output } from '../../proto/generated/kvspan/v1/EvictSessionRequest.js';
import type { EvictSessionResponse } from '../../proto/generated/kvspan/v1/EvictSessionResponse.js';
import type { GetPoolResponse } from '../../proto/generated/kvspan/v1/GetPoolResponse.js';
import type { ListCachesRequest__Output } from '../../proto/generated/kvspan/v1/ListCachesRequest.js';
import type { ListCachesResponse } from '../../proto/generated/kvspan/v1/ListCachesResponse.js';
import type { ListSessionsResponse } from '../../proto/generated/kvspan/v1/ListSessionsResponse.js';
import type { SetTenantRequest__Output } from '../../proto/generated/kvspan/v1/SetTenantRequest.js';
import { sessionId } from '../core/types.js';
import type { ServiceContext } from './context.js';
import { guardUnary } from './guard.js';
import { listTenants, setTenant } from './tenant-service.js';
import { encodeCache, encodeDevice, encodeDeviceCheck, encodeSession } from './wire.js';

/** `mayChange`: whoever calls is the daemon's own user. */
export function adminService(
  context: ServiceContext,
  mayChange: boolean,
): UntypedServiceImplementation {
  return {
    GetPool: guardUnary('GetPool', context, () => pool(context)),
    ListSessions: guardUnary('ListSessions', context, () => listSessions(context)),
    ListCaches: guardUnary('ListCaches', context, (request: ListCachesRequest__Output) =>
      listCaches(context, request),
    ),
    ListTenants: guardUnary('ListTenants', context, () => listTenants(context)),
    SetTenant: guardUnary('SetTenant', context, (request: SetTenantRequest__Output) =>
      mayChange ? setTenant(context, request) : refuseChange(),
    ),
    EvictSession: guardUnary('EvictSession', context, (request: EvictSessionRequest__Output) =>
      mayChange ? evictSession(context, request) : refuseChange(),
    ),
  };
}

function pool({
  ledger,
  device,
  deviceWatch,
  clock,
  startedAt,
  version,
}: ServiceContext): GetPoolResponse {
  const view = ledger.pool();
  return {
    device: encodeDevice(device),
    poolBytes: encodeUint64(view.poolBytes, 'pool_bytes'),
    usedBytes: encodeUint64(view.usedBytes, 'used_bytes'),
    freeBytes: encodeUint64(view.freeBytes, 'free_bytes'),
    promisedBytes: encodeUint64(view.promisedBytes, 'promised_bytes'),
    extentCount: encodeUint64(BigInt(view.extentCount), 'extent_count'),
    sessionCount: encodeUint32(view.sessionCount, 'session_count'),
    cacheCount: encodeUint32(view.cacheCount, 'cache_count'),
    waitingGrantCount: encodeUint32(view.waitingGrantCount, 'waiting_grant_count'),
    waitingBytes: encodeUint64(view.waitingBytes, 'waiting_bytes'),
    grantedTotalCount: encodeUint64(view.grantedCount, 'granted_total_count'),
    refusedTotalCount: encodeUint64(view.refusedCount, 'refused_total_count'),
    grantedTotalBytes: encodeUint64(view.grantedBytes, 'granted_total_bytes'),
    returnedTotalBytes: encodeUint64(view.returnedBytes, 'returned_total_bytes'),
    uptimeMs: encodeUint64(BigInt(Math.floor(clock.now() - startedAt)), 'uptime_ms'),
    version,
    deviceCheck: encodeDeviceCheck(deviceWatch.watched, clock.now()),
  };
}

/** Who may connect to the service's socket may be another user; nobody's limits are his to change. */
function refuseChange(): never {
  throw new KvspanError(
    'PERMISSION_DENIED',
    'tenants are changed and sessions evicted only on admin.sock',
  );
}

function evictSession(
  { lifecycle, clock }: ServiceContext,
  { sessionId: id, kill }: EvictSessionRequest__Output,
): EvictSessionResponse {
  const evicted = lifecycle.evict(sessionId(decodeUint64(id, 'session_id')), kill);
  return { session: encodeSession(evicted, clock.now()), killed: kill };
}

function listSessions({ ledger, clock }: ServiceContext): ListSessionsResponse {
  const now = clock.now();
  return { sessions: ledger.sessions().map(view => encodeSession(view, now)) };
}

function listCaches(
  { ledger }: ServiceContext,
  request: ListCachesRequest__Output,
): ListCachesResponse {
  const id = decodeUint64(request.sessionId, 'session_id');
  return { caches: ledger.caches(id === 0n ? null : sessionId(id)).map(encodeCache) };
}
