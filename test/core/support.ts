import { expect } from 'vitest';
import { KvspanError, type ErrorCode } from '../../proto/errors.js';
import { createLedger, type GrantRequest, type Ledger } from '../../daemon/core/ledger.js';
import {
  PAGE_BYTES,
  address,
  bytes,
  grantId,
  instant,
  type Bytes,
  type CacheGeometry,
  type Effect,
  type ExtentId,
  type Instant,
  type Limits,
  type OrderCounts,
  type Peer,
  type SessionId,
  type TenantSpec,
} from '../../daemon/core/types.js';

export const EPOCH = 7n;
export const PLAN_BASE = 0x2000_0000_0000n;

export const pages = (count: number): Bytes => bytes(BigInt(count) * PAGE_BYTES);
export const at = (ms: number): Instant => instant(ms);

/** 16 pages in the pool, 12 for a session: small enough to be full after a few lines of a test. */
export function smallLimits(changes: Partial<Limits> = {}): Limits {
  return {
    poolBytes: pages(16),
    sessionLimitBytes: pages(12),
    tenants: [],
    sessionsMax: 8,
    cachesPerSessionMax: 4,
    grantsInFlightMax: 4,
    extentsPerGrantMax: 16,
    grantWaitMsMax: 10_000,
    addressPlanBase: address(PLAN_BASE),
    addressPlanBytes: pages(1024),
    ...changes,
  };
}

export const peer = (pid: number): Peer => ({ pid, uid: 1000, gid: 1000, name: `engine-${pid}` });

/** One page a slot: 2 x 1 x 8 x 64 x 2 bytes = 2 KiB a token, 1,024 tokens a page. */
export const smallGeometry: CacheGeometry = {
  layout: 'token-major',
  layers: 1,
  kvHeads: 8,
  headDim: 64,
  dtype: 'bf16',
  slots: 1,
  maxTokens: 1024,
};

export const ledgerOf = (changes: Partial<Limits> = {}): Ledger =>
  createLedger(smallLimits(changes), { epoch: EPOCH });

/** Of user 1000 + index; without guarantee or limit unless said otherwise. */
export const tenant = (index: number, changes: Partial<TenantSpec> = {}): TenantSpec => ({
  name: `t${index}`,
  everybody: false,
  uids: [1000 + index],
  gids: [],
  memberUids: [],
  clients: [],
  guaranteedBytes: pages(0),
  limitBytes: pages(16),
  weight: 1,
  held: false,
  ...changes,
});

/** A ledger of such tenants, one after the other. */
export const ledgerWith = (...tenants: Partial<TenantSpec>[]): Ledger =>
  ledgerOf({
    sessionLimitBytes: pages(16),
    tenants: tenants.map((changes, index) => tenant(index, changes)),
  });

/** `count` single pages, all or nothing, unless said otherwise. */
export function request(
  id: number,
  counts: OrderCounts,
  minimumPages = 0,
  waitMs = 0,
): GrantRequest {
  return { grant: grantId(BigInt(id)), counts, minimumBytes: pages(minimumPages), waitMs };
}

export type GrantEffect = Extract<Effect, { kind: 'grant' }>;
export type RefuseEffect = Extract<Effect, { kind: 'refuse' }>;
export type ReclaimEffect = Extract<Effect, { kind: 'reclaim' }>;

export const grants = (effects: readonly Effect[]): GrantEffect[] =>
  effects.filter(effect => effect.kind === 'grant');
export const refusals = (effects: readonly Effect[]): RefuseEffect[] =>
  effects.filter(effect => effect.kind === 'refuse');
export const reclaims = (effects: readonly Effect[]): ReclaimEffect[] =>
  effects.filter(effect => effect.kind === 'reclaim');

/** The grants among the effects as `session:grant` and the pages of each extent. */
export const granted = (effects: readonly Effect[]): string[] =>
  grants(effects).map(
    ({ session, grant, extents }) =>
      `${session}:${grant} ${extents.map(extent => extent.bytes / PAGE_BYTES).join(' ')}`,
  );

export const adopt = (
  ledger: Ledger,
  session: SessionId,
  extents: Parameters<Ledger['adopt']>[1],
): Bytes => ledger.adopt(session, extents, at(0)).heldBytes;

/** Asks for single pages, settles them, and gives their ids. */
export function hold(
  ledger: Ledger,
  session: SessionId,
  id: number,
  pageCount: number,
): ExtentId[] {
  const [grant] = grants(ledger.requestGrant(session, request(id, [pageCount]), at(0)));
  ledger.grantSettled(session, grantId(BigInt(id)), pageCount, at(0));
  return (grant as GrantEffect).extents.map(extent => extent.id);
}

/** The error that `act` throws; it must be one, with this code. */
export function refused(code: ErrorCode, act: () => unknown): KvspanError {
  let error: unknown = null;
  try {
    act();
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(KvspanError);
  expect(error).toMatchObject({ code });
  return error as KvspanError;
}

/** All that can be seen of a ledger but its count of refusals: to show that a throw changed nothing. */
export function snapshot(ledger: Ledger): unknown {
  const { refusedCount: _refusedCount, ...pool } = ledger.pool();
  return {
    pool,
    sessions: ledger.sessions(),
    caches: ledger.caches(null),
    next: ledger.nextExpiry(),
  };
}
