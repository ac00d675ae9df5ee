/** Wire requests to the core's nouns, and the core's answers to wire messages. */
import {
  decodeUint32,
  decodeUint32s,
  decodeUint64,
  decodeUint64s,
  encodeUint32,
  encodeUint64,
  UINT64_MAX,
} from '../../proto/codec.js';
import { encodeGeometry, encodePlan } from '../../proto/domain.js';
import { badField } from '../../proto/errors.js';
import type { AcquireRequest__Output } from '../../proto/generated/kvspan/v1/AcquireRequest.js';
import type { AdoptRequest__Output } from '../../proto/generated/kvspan/v1/AdoptRequest.js';
import type { CacheInfo } from '../../proto/generated/kvspan/v1/CacheInfo.js';
import type { DeviceCheck as WireDeviceCheck } from '../../proto/generated/kvspan/v1/DeviceCheck.js';
import type { DeviceInfo } from '../../proto/generated/kvspan/v1/DeviceInfo.js';
import type { Grant } from '../../proto/generated/kvspan/v1/Grant.js';
import type { Promised } from '../../proto/generated/kvspan/v1/Promised.js';
import type { UpdatePromiseRequest__Output } from '../../proto/generated/kvspan/v1/UpdatePromiseRequest.js';
import type { ReserveRequest__Output } from '../../proto/generated/kvspan/v1/ReserveRequest.js';
import type { ReturnRequest__Output } from '../../proto/generated/kvspan/v1/ReturnRequest.js';
import type { ReturnResponse } from '../../proto/generated/kvspan/v1/ReturnResponse.js';
import type { SessionInfo } from '../../proto/generated/kvspan/v1/SessionInfo.js';
import type {
  CacheView,
  GrantRequest,
  ReserveRequest,
  Returned,
  SessionView,
} from '../core/ledger.js';
import {
  EXTENT_ORDER_MAX,
  bytes,
  cacheId,
  extentId,
  grantId,
  type Bytes,
  type CacheId,
  type ExtentId,
  type GrantId,
  type Instant,
} from '../core/types.js';
import type { DeviceDescription } from '../ports/device.js';
import type { Watched } from './device-watch.js';
import type { GrantAnswer, PromiseAnswer } from './effects.js';

/** 0 is no grant: it would be the tag of extents that nobody asked for. */
export function decodeGrantId(wire: string): GrantId {
  const id = decodeUint64(wire, 'grant_id');
  if (id === 0n) throw badField('grant_id', id, `1 .. ${UINT64_MAX}`);
  return grantId(id);
}

export const decodeCacheId = (wire: string): CacheId => cacheId(decodeUint64(wire, 'cache_id'));

export function decodeAcquire(wire: AcquireRequest__Output): GrantRequest {
  const grant = decodeGrantId(wire.grantId);
  // Before any of them is looked at: a message has room for a quarter of a million.
  const { length } = wire.orderCounts;
  if (length > EXTENT_ORDER_MAX + 1)
    throw badField('order_counts', `${length} entries`, `at most ${EXTENT_ORDER_MAX + 1} entries`);
  return {
    grant,
    counts: decodeUint32s(wire.orderCounts, 'order_counts'),
    minimumBytes: bytes(decodeUint64(wire.minimumBytes, 'minimum_bytes')),
    waitMs: decodeUint32(wire.waitMs, 'wait_ms'),
    promise: decodePromise(wire.promiseId),
  };
}

function decodePromise(wire: string): GrantId | null {
  const id = decodeUint64(wire, 'promise_id');
  return id === 0n ? null : grantId(id);
}

export const decodeReserve = (wire: ReserveRequest__Output): ReserveRequest => ({
  promise: grantId(decodeUint64(wire.promiseId, 'promise_id')),
  cache: decodeCacheId(wire.cacheId),
  tokens: decodeUint32(wire.tokensCount, 'tokens_count'),
  overreadTokens: decodeUint32(wire.overreadTokensCount, 'overread_tokens_count'),
  mappedBytes: bytes(decodeUint64(wire.mappedBytes, 'mapped_bytes')),
  waitMs: decodeUint32(wire.waitMs, 'wait_ms'),
  lapseMs: decodeUint32(wire.lapseMs, 'lapse_ms'),
});

export const decodeUpdatePromise = (
  wire: UpdatePromiseRequest__Output,
): { readonly promise: GrantId; readonly leftBytes: Bytes } => ({
  promise: grantId(decodeUint64(wire.promiseId, 'promise_id')),
  leftBytes: bytes(decodeUint64(wire.leftBytes, 'left_bytes')),
});

export const decodeReturn = (wire: ReturnRequest__Output): ExtentId[] =>
  decodeUint64s(wire.extentIds, 'extent_ids').map(extentId);

export function decodeAdopt(
  wire: AdoptRequest__Output,
): { readonly id: ExtentId; readonly order: number }[] {
  const ids = decodeUint64s(wire.extentIds, 'extent_ids');
  const orders = decodeUint32s(wire.extentOrders, 'extent_orders');
  if (ids.length !== orders.length) {
    throw badField(
      'extent_orders',
      `${orders.length} entries`,
      `${ids.length} entries, as many as extent_ids`,
    );
  }
  return ids.map((id, index) => ({ id: extentId(id), order: orders[index] ?? 0 }));
}

export const encodeGrant = (answer: GrantAnswer): Grant => ({
  grantId: encodeUint64(answer.grant, 'grant.grant_id'),
  extentCount: encodeUint32(answer.extentCount, 'grant.extent_count'),
  grantedBytes: encodeUint64(answer.grantedBytes, 'grant.granted_bytes'),
  heldBytes: encodeUint64(answer.heldBytes, 'grant.held_bytes'),
});

export const encodePromised = (answer: PromiseAnswer): Promised => ({
  promiseId: encodeUint64(answer.promise, 'promised.promise_id'),
  promisedBytes: encodeUint64(answer.promisedBytes, 'promised.promised_bytes'),
});

export const encodeReturned = (returned: Returned): ReturnResponse => ({
  extentCount: encodeUint32(returned.extentCount, 'returned.extent_count'),
  returnedBytes: encodeUint64(returned.returnedBytes, 'returned.returned_bytes'),
  heldBytes: encodeUint64(returned.heldBytes, 'returned.held_bytes'),
});

export const encodeDevice = (device: DeviceDescription): DeviceInfo => ({
  backend: device.backend,
  ordinal: encodeUint32(device.ordinal, 'device.ordinal'),
  name: device.name,
  uuid: device.uuid,
  driver: device.driver,
  totalBytes: encodeUint64(device.totalBytes, 'device.total_bytes'),
});

const checkSize = (bytes: bigint, name: string): string =>
  encodeUint64(bytes, `device_check.${name}`);

export function encodeDeviceCheck(watched: Watched, now: Instant): WireDeviceCheck {
  const { check, at, looks, unavailable } = watched;
  const lookCount = encodeUint64(looks, 'device_check.look_count');
  if (check === null || at === null) return { lookCount, unavailable };
  return {
    lookCount,
    unavailable,
    ageMs: checkSize(BigInt(Math.max(0, Math.floor(now - at))), 'age_ms'),
    deviceUsedBytes: checkSize(check.deviceUsedBytes, 'device_used_bytes'),
    deviceFreeBytes: checkSize(check.deviceFreeBytes, 'device_free_bytes'),
    grantedBytes: checkSize(check.grantedBytes, 'granted_bytes'),
    heldBytes: checkSize(check.heldBytes, 'held_bytes'),
    foreignBytes: checkSize(check.foreignBytes, 'foreign_bytes'),
    missingBytes: checkSize(check.missingBytes, 'missing_bytes'),
    unchargedBytes: checkSize(check.unchargedBytes, 'uncharged_bytes'),
    shortBytes: checkSize(check.shortBytes, 'short_bytes'),
    differences: check.differences.map(({ pid, chargedBytes, foundBytes }) => ({
      pid: encodeUint32(pid, 'device_check.differences.pid'),
      chargedBytes: checkSize(chargedBytes, 'differences.charged_bytes'),
      foundBytes: checkSize(foundBytes, 'differences.found_bytes'),
    })),
  };
}

const sessionStates = { open: 'SESSION_STATE_OPEN', lingering: 'SESSION_STATE_LINGERING' } as const;

export const encodeSession = (view: SessionView, now: Instant): SessionInfo => ({
  sessionId: encodeUint64(view.id, 'session.session_id'),
  pid: encodeUint32(view.peer.pid, 'session.pid'),
  uid: encodeUint32(view.peer.uid, 'session.uid'),
  gid: encodeUint32(view.peer.gid, 'session.gid'),
  name: view.peer.name,
  state: view.evicted ? 'SESSION_STATE_EVICTED' : sessionStates[view.state],
  heldBytes: encodeUint64(view.heldBytes, 'session.held_bytes'),
  limitBytes: encodeUint64(view.limitBytes, 'session.limit_bytes'),
  extentCount: encodeUint64(BigInt(view.extentCount), 'session.extent_count'),
  cacheCount: encodeUint32(view.cacheCount, 'session.cache_count'),
  waitingGrantCount: encodeUint32(view.waitingGrantCount, 'session.waiting_grant_count'),
  tenant: view.tenant,
  overdueCount: encodeUint32(view.overdueCount, 'session.overdue_count'),
  servedLast: view.servedLast,
  promisedBytes: encodeUint64(view.promisedBytes, 'session.promised_bytes'),
  promiseCount: encodeUint32(view.promiseCount, 'session.promise_count'),
  ageMs: encodeUint64(BigInt(Math.max(0, Math.floor(now - view.openedAt))), 'session.age_ms'),
});

export const encodeCache = (view: CacheView): CacheInfo => ({
  cacheId: encodeUint64(view.id, 'cache.cache_id'),
  sessionId: encodeUint64(view.session, 'cache.session_id'),
  name: view.name,
  geometry: encodeGeometry(view.geometry),
  plan: encodePlan(view.plan),
});
