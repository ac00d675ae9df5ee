/** What an operator sees of a daemon, and its wire forms. Sizes in bytes, as bigints. */
import { decodeUint32, decodeUint64, encodeUint32, encodeUint64 } from '../../proto/codec.js';
import {
  type CacheGeometry,
  type CachePlan,
  decodeGeometry,
  decodePlan,
} from '../../proto/domain.js';
import { badField, KvspanError } from '../../proto/errors.js';
import type { CacheInfo__Output } from '../../proto/generated/kvspan/v1/CacheInfo.js';
import type { GetPoolResponse__Output } from '../../proto/generated/kvspan/v1/GetPoolResponse.js';
import type { SessionInfo__Output } from '../../proto/generated/kvspan/v1/SessionInfo.js';
import type { TenantEntitlement } from '../../proto/generated/kvspan/v1/TenantEntitlement.js';
import type { TenantInfo__Output } from '../../proto/generated/kvspan/v1/TenantInfo.js';

/** The physical memory of one device that the daemon may use; proto `GetPoolResponse`. */
export interface PoolView {
  readonly version: string;
  readonly uptimeMs: bigint;
  readonly backend: string;
  readonly deviceName: string;
  readonly deviceUuid: string;
  readonly driver: string;
  readonly deviceBytes: bigint;
  readonly poolBytes: bigint;
  readonly usedBytes: bigint;
  readonly freeBytes: bigint;
  /** Of the free bytes: kept for sessions by promise. */
  readonly promisedBytes: bigint;
  readonly extentCount: bigint;
  readonly sessionCount: number;
  readonly cacheCount: number;
  /** Grants that wait for memory, and how much they want. */
  readonly waitingGrantCount: number;
  readonly waitingBytes: bigint;
  /** Since the daemon started, as are the three below. */
  readonly grantedCount: bigint;
  readonly refusedCount: bigint;
  readonly grantedBytes: bigint;
  readonly returnedBytes: bigint;
}

/** One serving process; proto `SessionInfo`. */
export interface SessionView {
  readonly sessionId: bigint;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** What it calls itself. */
  readonly name: string;
  readonly tenant: string;
  /**
   * `lingering`: its connection is gone, its process is not, and it is still charged. `evicted`: an
   * administrator has put it out; it may only give back.
   */
  readonly state: 'open' | 'lingering' | 'evicted';
  readonly heldBytes: bigint;
  /** Kept for it by promise, beside what it holds. */
  readonly promisedBytes: bigint;
  readonly limitBytes: bigint;
  readonly extentCount: bigint;
  readonly cacheCount: number;
  readonly waitingGrantCount: number;
  readonly ageMs: bigint;
  /** How often it has not given back in time what it was asked for. */
  readonly overdueCount: number;
  readonly servedLast: boolean;
}

/** One KV cache and where it lies; proto `CacheInfo`. */
export interface CacheView {
  readonly cacheId: bigint;
  readonly sessionId: bigint;
  readonly name: string;
  readonly geometry: CacheGeometry;
  readonly plan: CachePlan;
}

/** What a tenant is entitled to; proto `TenantEntitlement`. */
export interface Entitlement {
  readonly guaranteedBytes: bigint;
  readonly limitBytes: bigint;
  /** Its share of what no guarantee covers; at least 1. */
  readonly weight: number;
  /** Its guarantee is never lent to others while it is unused. */
  readonly held: boolean;
}

/** Who is charged and trusted together; proto `TenantInfo`. */
export interface TenantView extends Entitlement {
  readonly name: string;
  readonly heldBytes: bigint;
  /** Kept for its sessions by promise. */
  readonly promisedBytes: bigint;
  /** Of what it holds: on the accounts of evicted sessions. */
  readonly evictedBytes: bigint;
  /** What it holds above its guarantee. */
  readonly borrowedBytes: bigint;
  readonly sessionCount: number;
  readonly waitingGrantCount: number;
  readonly overdueCount: number;
}

export interface TenantList {
  readonly tenants: readonly TenantView[];
  /** What a change has to carry: one that was made from an older list is refused. */
  readonly revision: bigint;
}

export function decodePool(wire: GetPoolResponse__Output): PoolView {
  return {
    version: wire.version,
    uptimeMs: decodeUint64(wire.uptimeMs, 'uptime_ms'),
    backend: wire.device?.backend ?? '',
    deviceName: wire.device?.name ?? '',
    deviceUuid: wire.device?.uuid ?? '',
    driver: wire.device?.driver ?? '',
    deviceBytes: decodeUint64(wire.device?.totalBytes ?? '0', 'device.total_bytes'),
    poolBytes: decodeUint64(wire.poolBytes, 'pool_bytes'),
    usedBytes: decodeUint64(wire.usedBytes, 'used_bytes'),
    freeBytes: decodeUint64(wire.freeBytes, 'free_bytes'),
    promisedBytes: decodeUint64(wire.promisedBytes, 'promised_bytes'),
    extentCount: decodeUint64(wire.extentCount, 'extent_count'),
    sessionCount: decodeUint32(wire.sessionCount, 'session_count'),
    cacheCount: decodeUint32(wire.cacheCount, 'cache_count'),
    waitingGrantCount: decodeUint32(wire.waitingGrantCount, 'waiting_grant_count'),
    waitingBytes: decodeUint64(wire.waitingBytes, 'waiting_bytes'),
    grantedCount: decodeUint64(wire.grantedTotalCount, 'granted_total_count'),
    refusedCount: decodeUint64(wire.refusedTotalCount, 'refused_total_count'),
    grantedBytes: decodeUint64(wire.grantedTotalBytes, 'granted_total_bytes'),
    returnedBytes: decodeUint64(wire.returnedTotalBytes, 'returned_total_bytes'),
  };
}

const states: Readonly<Record<string, SessionView['state']>> = {
  SESSION_STATE_OPEN: 'open',
  SESSION_STATE_LINGERING: 'lingering',
  SESSION_STATE_EVICTED: 'evicted',
};

function stateOf(wire: unknown): SessionView['state'] {
  const state = states[String(wire)];
  if (state === undefined) throw badField('state', wire, Object.keys(states).join(', '));
  return state;
}

export function decodeSession(wire: SessionInfo__Output): SessionView {
  return {
    sessionId: decodeUint64(wire.sessionId, 'session_id'),
    pid: decodeUint32(wire.pid, 'pid'),
    uid: decodeUint32(wire.uid, 'uid'),
    gid: decodeUint32(wire.gid, 'gid'),
    name: wire.name,
    tenant: wire.tenant,
    state: stateOf(wire.state),
    promisedBytes: decodeUint64(wire.promisedBytes, 'promised_bytes'),
    heldBytes: decodeUint64(wire.heldBytes, 'held_bytes'),
    limitBytes: decodeUint64(wire.limitBytes, 'limit_bytes'),
    extentCount: decodeUint64(wire.extentCount, 'extent_count'),
    cacheCount: decodeUint32(wire.cacheCount, 'cache_count'),
    waitingGrantCount: decodeUint32(wire.waitingGrantCount, 'waiting_grant_count'),
    ageMs: decodeUint64(wire.ageMs, 'age_ms'),
    overdueCount: decodeUint32(wire.overdueCount, 'overdue_count'),
    servedLast: wire.servedLast,
  };
}

export function decodeCache(wire: CacheInfo__Output): CacheView {
  return {
    cacheId: decodeUint64(wire.cacheId, 'cache_id'),
    sessionId: decodeUint64(wire.sessionId, 'session_id'),
    name: wire.name,
    geometry: decodeGeometry(wire.geometry),
    plan: decodePlan(wire.plan),
  };
}

export function decodeTenant(wire: TenantInfo__Output | null): TenantView {
  if (wire === null || wire.entitlement === null)
    throw new KvspanError('PROTOCOL', 'tenant: got none, allowed: a TenantInfo');
  const { entitlement } = wire;
  return {
    name: wire.name,
    guaranteedBytes: decodeUint64(entitlement.guaranteedBytes, 'guaranteed_bytes'),
    limitBytes: decodeUint64(entitlement.limitBytes, 'limit_bytes'),
    weight: decodeUint32(entitlement.weight, 'weight'),
    held: entitlement.held,
    heldBytes: decodeUint64(wire.heldBytes, 'held_bytes'),
    promisedBytes: decodeUint64(wire.promisedBytes, 'promised_bytes'),
    evictedBytes: decodeUint64(wire.evictedBytes, 'evicted_bytes'),
    borrowedBytes: decodeUint64(wire.borrowedBytes, 'borrowed_bytes'),
    sessionCount: decodeUint32(wire.sessionCount, 'session_count'),
    waitingGrantCount: decodeUint32(wire.waitingGrantCount, 'waiting_grant_count'),
    overdueCount: decodeUint32(wire.overdueCount, 'overdue_count'),
  };
}

export function encodeEntitlement(entitlement: Entitlement): TenantEntitlement {
  return {
    guaranteedBytes: encodeUint64(entitlement.guaranteedBytes, 'guaranteedBytes'),
    limitBytes: encodeUint64(entitlement.limitBytes, 'limitBytes'),
    weight: encodeUint32(entitlement.weight, 'weight'),
    held: entitlement.held,
  };
}
