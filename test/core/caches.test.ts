import { describe, expect, test } from 'vitest';
import type { Ledger } from '../../daemon/core/ledger.js';
import { address, cacheId, type SessionId } from '../../daemon/core/types.js';
import {
  PLAN_BASE,
  at,
  ledgerOf,
  pages,
  peer,
  refused,
  smallGeometry,
  smallLimits,
  snapshot,
} from './support.js';

const ANYWHERE = address(0n);
const planPage = (index: number): ReturnType<typeof address> =>
  address(PLAN_BASE + BigInt(index) * pages(1));

function oneSession(changes: Parameters<typeof smallLimits>[0] = {}): {
  ledger: Ledger;
  session: SessionId;
} {
  const ledger = ledgerOf(changes);
  return { ledger, session: ledger.openSession(peer(1), at(0)) };
}

describe('a cache', () => {
  test('gets its plan, is listed, and gives its addresses back', () => {
    const { ledger, session } = oneSession();
    const view = ledger.createCache(session, { ...smallGeometry, slots: 3 }, 'llama', ANYWHERE);
    expect(view).toEqual({
      id: 1n,
      session,
      name: 'llama',
      geometry: { ...smallGeometry, slots: 3 },
      plan: {
        baseAddress: PLAN_BASE,
        totalBytes: pages(3),
        laneCount: 1,
        rowBytes: 2048n,
        slotStrideBytes: pages(1),
        laneStrideBytes: pages(3),
      },
    });
    expect(ledger.caches(session)).toEqual([view]);
    expect(ledger.session(session).cacheCount).toBe(1);
    ledger.destroyCache(session, view.id);
    expect(ledger.caches(null)).toEqual([]);
    expect(ledger.createCache(session, smallGeometry, '', ANYWHERE).plan.baseAddress).toBe(
      PLAN_BASE,
    );
    ledger.check();
  });

  test('has its wanted base if that is free, and others of other sessions have others', () => {
    const { ledger, session } = oneSession();
    const other = ledger.openSession(peer(2), at(0));
    expect(ledger.createCache(session, smallGeometry, 'a', planPage(5)).plan.baseAddress).toBe(
      planPage(5),
    );
    expect(ledger.createCache(other, smallGeometry, 'b', planPage(5)).plan.baseAddress).toBe(
      planPage(0),
    );
  });

  test('larger than the address plan is refused with what was asked and what is left', () => {
    const { ledger, session } = oneSession();
    ledger.createCache(session, { ...smallGeometry, slots: 24 }, 'a', ANYWHERE);
    const before = snapshot(ledger);
    const error = refused('ADDRESS_PLAN_EXHAUSTED', () =>
      ledger.createCache(session, { ...smallGeometry, slots: 1001 }, 'b', ANYWHERE),
    );
    expect(error).toMatchObject({
      askedBytes: pages(1001),
      freeBytes: pages(1000),
      limitBytes: pages(1024),
    });
    expect(snapshot(ledger)).toEqual(before);
  });

  test("over the session's limit is refused", () => {
    const { ledger, session } = oneSession({ cachesPerSessionMax: 1 });
    ledger.createCache(session, smallGeometry, 'a', ANYWHERE);
    const error = refused('CACHE_LIMIT', () =>
      ledger.createCache(session, smallGeometry, 'b', ANYWHERE),
    );
    expect(error.message).toContain('has 1, allowed: 1');
  });

  test.each<[string, string, object]>([
    ['a name of 65 bytes', 'name', { name: 'x'.repeat(65) }],
    ['a name with a line feed', 'name', { name: 'a\nb' }],
    ['a name that is not ASCII', 'name', { name: 'modèle' }],
    ['a wanted base within a page', 'wanted_base_address', { base: PLAN_BASE + 4096n }],
    ['a negative wanted base', 'wanted_base_address', { base: 0n - pages(1) }],
    ['a wanted base that is no bigint', 'wanted_base_address', { base: 0 }],
    ['a bad geometry', 'geometry.slots_count', { slots: 0 }],
  ])(
    'with %s is refused and changes nothing',
    (_what, field, {
      name = 'a',
      base = 0n,
      slots = 1,
    }: { name?: string; base?: bigint; slots?: number }) => {
      const { ledger, session } = oneSession();
      const before = snapshot(ledger);
      const act = (): unknown =>
        ledger.createCache(session, { ...smallGeometry, slots }, name, base as never);
      expect(refused('INVALID_ARGUMENT', act).field).toBe(field);
      expect(snapshot(ledger)).toEqual(before);
    },
  );

  test('of another session, destroyed before or never made, is unknown', () => {
    const { ledger, session } = oneSession();
    const other = ledger.openSession(peer(2), at(0));
    const { id } = ledger.createCache(other, smallGeometry, 'a', ANYWHERE);
    for (const unknown of [id, cacheId(0n), cacheId(9n)]) {
      expect(refused('CACHE_UNKNOWN', () => ledger.destroyCache(session, unknown)).field).toBe(
        'cache_id',
      );
      refused('CACHE_UNKNOWN', () => ledger.placeCache(session, unknown, planPage(9)));
    }
    ledger.destroyCache(other, id);
    refused('CACHE_UNKNOWN', () => ledger.destroyCache(other, id));
  });

  test('keeps its addresses while its process lives, closed or not, and loses them when it exits', () => {
    const { ledger, session } = oneSession();
    const other = ledger.openSession(peer(2), at(0));
    ledger.createCache(session, smallGeometry, 'a', ANYWHERE);
    ledger.sessionClosed(session, at(1));
    refused('SESSION_UNKNOWN', () => ledger.createCache(session, smallGeometry, 'b', ANYWHERE));
    expect(ledger.createCache(other, smallGeometry, 'c', planPage(0)).plan.baseAddress).toBe(
      planPage(1),
    );
    ledger.sessionExited(session, at(2));
    expect(ledger.createCache(other, smallGeometry, 'd', planPage(0)).plan.baseAddress).toBe(
      planPage(0),
    );
    ledger.check();
  });
});

describe('a cache whose client took other addresses', () => {
  test('outside the plan frees its planned ones', () => {
    const { ledger, session } = oneSession();
    const { id } = ledger.createCache(session, smallGeometry, 'a', ANYWHERE);
    ledger.placeCache(session, id, address(0x7f00_0000_0000n));
    expect(ledger.caches(session)[0]?.plan.baseAddress).toBe(0x7f00_0000_0000n);
    expect(ledger.createCache(session, smallGeometry, 'b', ANYWHERE).plan.baseAddress).toBe(
      PLAN_BASE,
    );
    ledger.destroyCache(session, id);
    ledger.check();
  });

  test('may come back into the plan, also over its own planned ones', () => {
    const { ledger, session } = oneSession();
    const { id } = ledger.createCache(session, { ...smallGeometry, slots: 4 }, 'a', ANYWHERE);
    for (const base of [planPage(2), address(0x7f00_0000_0000n), planPage(7), planPage(7)]) {
      ledger.placeCache(session, id, base);
      expect(ledger.caches(session)[0]?.plan.baseAddress).toBe(base);
      ledger.check();
    }
  });

  test.each<[string, bigint]>([
    ['0', 0n],
    ['within a page', PLAN_BASE + 1n],
    ['past what can be addressed', 1n << 57n],
    ['that end past what can be addressed', (1n << 57n) - pages(1)],
    ['of another cache', PLAN_BASE + pages(4)],
    ['partly of another cache', PLAN_BASE + pages(3)],
    ['half outside the plan', PLAN_BASE - pages(1)],
    ['of another cache of the session, outside the plan', 0x7f00_0000_0000n],
  ])('has them refused if they are %s', (_what, base) => {
    const { ledger, session } = oneSession();
    const [a, , c] = [0, 1, 2].map(() =>
      ledger.createCache(session, { ...smallGeometry, slots: 4 }, '', ANYWHERE),
    );
    ledger.placeCache(session, c?.id as never, address(0x7f00_0000_0000n));
    const before = snapshot(ledger);
    const error = refused('INVALID_ARGUMENT', () =>
      ledger.placeCache(session, a?.id as never, address(base)),
    );
    expect(error.field).toBe('actual_base_address');
    expect(snapshot(ledger)).toEqual(before);
    ledger.check();
  });
});

describe('limits that cannot be kept', () => {
  test.each<[string, unknown]>([
    ['poolBytes', 0n],
    ['poolBytes', 1n],
    ['poolBytes', pages(-1)],
    ['poolBytes', 1],
    ['sessionLimitBytes', 0n],
    ['sessionLimitBytes', pages(1) + 1n],
    ['addressPlanBase', 0n],
    ['addressPlanBase', 4096n],
    ['addressPlanBytes', 0n],
    ['addressPlanBytes', 1n << 57n],
    ['sessionsMax', 0],
    ['sessionsMax', 1.5],
    ['cachesPerSessionMax', -1],
    ['grantsInFlightMax', 0],
    ['extentsPerGrantMax', 0],
    ['grantWaitMsMax', -1],
    ['grantWaitMsMax', Number.POSITIVE_INFINITY],
  ])('%s = %s', (field, value) => {
    expect(refused('INVALID_ARGUMENT', () => ledgerOf({ [field]: value })).field).toBe(field);
  });
});
