/** A process that opens a session anew takes over what its earlier one left behind, and nobody else does. */
import { describe, expect, test } from 'vitest';
import type { Ledger } from '../../daemon/core/ledger.js';
import {
  address,
  extentId,
  grantId,
  type ExtentId,
  type SessionId,
} from '../../daemon/core/types.js';
import {
  adopt,
  EPOCH,
  PLAN_BASE,
  at,
  granted,
  grants,
  hold,
  ledgerOf,
  pages,
  peer,
  refused,
  request,
  smallGeometry,
  snapshot,
} from './support.js';

const old = (counter: number): ExtentId => extentId(((EPOCH - 1n) << 40n) | BigInt(counter));
const single = (ids: readonly ExtentId[]): { id: ExtentId; order: number }[] =>
  ids.map(id => ({ id, order: 0 }));

interface Broken {
  readonly ledger: Ledger;
  readonly former: SessionId;
  readonly ids: ExtentId[];
}

/** Process 1 held so many single pages when its connection ended. */
function broken(pageCount: number, limits: Parameters<typeof ledgerOf>[0] = {}): Broken {
  const ledger = ledgerOf(limits);
  const former = ledger.openSession(peer(1), at(0));
  const ids = hold(ledger, former, 1, pageCount);
  ledger.sessionClosed(former, at(1));
  return { ledger, former, ids };
}

describe('extents of a session that the same process left behind', () => {
  test('move with their charge; the pool has as much in use as before', () => {
    const { ledger, former, ids } = broken(5);
    const heir = ledger.openSession(peer(1), at(2));
    expect(adopt(ledger, heir, single(ids.slice(0, 3)))).toBe(pages(3));
    ledger.check();
    expect(ledger.session(former)).toMatchObject({ heldBytes: pages(2), extentCount: 2 });
    expect(ledger.pool()).toMatchObject({ usedBytes: pages(5), returnedBytes: 0n });
    // What has moved is the heir's, what has not may still be asked for.
    expect(ledger.returnExtents(heir, ids.slice(0, 1), at(3)).returned.heldBytes).toBe(pages(2));
    expect(adopt(ledger, heir, single(ids.slice(3)))).toBe(pages(4));
    refused('SESSION_UNKNOWN', () => ledger.session(former));
    ledger.sessionExited(heir, at(4));
    expect(ledger.pool()).toMatchObject({ usedBytes: 0n, sessionCount: 0, extentCount: 0 });
    ledger.check();
  });

  test('move out of a full pool, and are held against the limit of the new session', () => {
    const { ledger, ids } = broken(12, { poolBytes: pages(12), sessionLimitBytes: pages(12) });
    const heir = ledger.openSession(peer(1), at(2));
    refused('QUOTA_EXHAUSTED', () =>
      adopt(ledger, heir, [...single(ids), { id: old(1), order: 0 }]),
    );
    refused('POOL_EXHAUSTED', () =>
      adopt(ledger, heir, [...single(ids.slice(1)), { id: old(1), order: 0 }]),
    );
    expect(adopt(ledger, heir, single(ids))).toBe(pages(12));
    ledger.check();
  });

  test('are counted with what the new session holds already', () => {
    const { ledger, ids } = broken(6);
    const heir = ledger.openSession(peer(1), at(2));
    hold(ledger, heir, 1, 7);
    const before = snapshot(ledger);
    refused('QUOTA_EXHAUSTED', () => adopt(ledger, heir, single(ids)));
    expect(snapshot(ledger)).toEqual(before);
    expect(adopt(ledger, heir, single(ids.slice(1)))).toBe(pages(12));
  });

  test('that are in flight stay until it is known whether they arrived', () => {
    const ledger = ledgerOf();
    const former = ledger.openSession(peer(1), at(0));
    const settled = hold(ledger, former, 1, 2);
    const [grant] = grants(ledger.requestGrant(former, request(2, [3]), at(0)));
    const flying = (grant?.extents ?? []).map(({ id }) => id) as [ExtentId, ExtentId, ExtentId];
    ledger.sessionClosed(former, at(1));
    const heir = ledger.openSession(peer(1), at(2));
    const before = snapshot(ledger);
    refused('EXTENT_FOREIGN', () => adopt(ledger, heir, single([...settled, flying[0]])));
    expect(snapshot(ledger)).toEqual(before);
    expect(adopt(ledger, heir, single(settled))).toBe(pages(2));
    expect(ledger.session(former)).toMatchObject({ heldBytes: pages(3) });
    ledger.grantSettled(former, grantId(2n), 2, at(3));
    refused('INVALID_ARGUMENT', () => adopt(ledger, heir, single([flying[2]])));
    expect(adopt(ledger, heir, single(flying.slice(0, 2)))).toBe(pages(4));
    expect(ledger.pool()).toMatchObject({ usedBytes: pages(4), sessionCount: 1 });
    ledger.check();
  });

  test('may be returned by the new session: its client released them while it was away', () => {
    const { ledger, former, ids } = broken(3);
    const heir = ledger.openSession(peer(1), at(2));
    adopt(ledger, heir, single(ids.slice(0, 1)));
    const { returned } = ledger.returnExtents(heir, ids.slice(1), at(3));
    expect(returned).toEqual({ extentCount: 2, returnedBytes: pages(2), heldBytes: pages(1) });
    refused('SESSION_UNKNOWN', () => ledger.session(former));
    expect(ledger.pool().usedBytes).toBe(pages(1));
    ledger.check();
  });

  test('that are returned meet who waits for the pool', () => {
    const { ledger, ids } = broken(12);
    const [heir, other] = [ledger.openSession(peer(1), at(2)), ledger.openSession(peer(2), at(2))];
    ledger.requestGrant(other, request(1, [6], 0, 1_000), at(2));
    expect(granted(ledger.returnExtents(heir, ids.slice(0, 2), at(3)).effects)).toEqual([
      '3:1 1 1 1 1 1 1',
    ]);
  });

  test('were adopted themselves: they move on', () => {
    const ledger = ledgerOf();
    const former = ledger.openSession(peer(1), at(0));
    adopt(ledger, former, [{ id: old(7), order: 2 }]);
    ledger.sessionClosed(former, at(1));
    const heir = ledger.openSession(peer(1), at(2));
    expect(adopt(ledger, heir, [{ id: old(7), order: 2 }])).toBe(pages(4));
    expect(ledger.pool()).toMatchObject({ usedBytes: pages(4), sessionCount: 1 });
    ledger.check();
  });
});

/** Three sessions beside the heir: of its process and open, of its process and closed, of another. */
function neighbours() {
  const ledger = ledgerOf({ poolBytes: pages(64), sessionLimitBytes: pages(32) });
  const [open, closed, foreign] = [peer(1), peer(1), peer(2)].map(one =>
    ledger.openSession(one, at(0)),
  ) as [SessionId, SessionId, SessionId];
  const ids = {
    open: hold(ledger, open, 1, 2),
    closed: hold(ledger, closed, 1, 4),
    foreign: hold(ledger, foreign, 1, 2),
  };
  const [returned] = ids.closed.splice(0, 1);
  ledger.returnExtents(closed, [returned as ExtentId], at(0));
  for (const session of [closed, foreign]) ledger.sessionClosed(session, at(1));
  const heir = ledger.openSession(peer(1), at(2));
  const own = hold(ledger, heir, 1, 1);
  return { ledger, heir, ids: { ...ids, own, returned: [returned as ExtentId] } };
}

type Ids = ReturnType<typeof neighbours>['ids'];

describe('nothing is gained by asking for more: refused as a whole', () => {
  test.each<[string, (ids: Ids) => { id: ExtentId; order: number }[], string]>([
    ['of an open session of the same process', ids => single(ids.open), 'EXTENT_FOREIGN'],
    ['of a closed session of another process', ids => single(ids.foreign), 'EXTENT_FOREIGN'],
    ['listed twice', ids => single(ids.closed.slice(0, 1)), 'INVALID_ARGUMENT'],
    ['of its own', ids => single(ids.own), 'INVALID_ARGUMENT'],
    ['returned before', ids => single(ids.returned), 'INVALID_ARGUMENT'],
    ['never granted', () => single([extentId((EPOCH << 40n) | 999n)]), 'INVALID_ARGUMENT'],
  ])('for one %s', (_what, bad, code) => {
    const { ledger, heir, ids } = neighbours();
    const good = [...single(ids.closed), { id: old(1), order: 1 }];
    const before = snapshot(ledger);
    for (const specs of [
      [...good, ...bad(ids)],
      [...bad(ids), ...good],
    ])
      expect(refused(code as never, () => adopt(ledger, heir, specs)).field).toBe('extent_ids');
    expect(snapshot(ledger)).toEqual(before);
    ledger.check();
    expect(adopt(ledger, heir, good)).toBe(pages(1 + 3 + 2));
    ledger.check();
  });

  test('for one that is said to be smaller than it is', () => {
    const ledger = ledgerOf();
    const former = ledger.openSession(peer(1), at(0));
    const [grant] = grants(ledger.requestGrant(former, request(1, [0, 0, 1]), at(0)));
    const id = grant?.extents[0]?.id as ExtentId;
    ledger.grantSettled(former, grantId(1n), 1, at(0));
    ledger.sessionClosed(former, at(1));
    const heir = ledger.openSession(peer(1), at(2));
    for (const order of [0, 1, 3]) {
      const error = refused('INVALID_ARGUMENT', () => adopt(ledger, heir, [{ id, order }]));
      expect(error.field).toBe('extent_orders');
    }
    expect(adopt(ledger, heir, [{ id, order: 2 }])).toBe(pages(4));
  });

  test('for the same pid of another user, or once the process was said to have exited', () => {
    const { ledger, former, ids } = broken(2);
    const other = ledger.openSession({ ...peer(1), uid: 1001 }, at(2));
    refused('EXTENT_FOREIGN', () => adopt(ledger, other, single(ids)));
    refused('EXTENT_FOREIGN', () => ledger.returnExtents(other, ids, at(2)));
    ledger.sessionExited(former, at(3));
    // The pid may be another process's from now on: there is nothing left to have.
    const later = ledger.openSession(peer(1), at(4));
    refused('INVALID_ARGUMENT', () => adopt(ledger, later, single(ids)));
    expect(ledger.pool()).toMatchObject({ usedBytes: 0n, sessionCount: 2 });
  });

  test('nor what is in flight of a process that has exited', () => {
    const ledger = ledgerOf();
    const former = ledger.openSession(peer(1), at(0));
    const [grant] = grants(ledger.requestGrant(former, request(1, [2]), at(0)));
    const ids = (grant?.extents ?? []).map(({ id }) => id);
    ledger.sessionExited(former, at(1));
    const later = ledger.openSession(peer(1), at(2));
    refused('EXTENT_FOREIGN', () => adopt(ledger, later, single(ids)));
    refused('EXTENT_FOREIGN', () => ledger.returnExtents(later, ids, at(2)));
    ledger.grantSettled(former, grantId(1n), 2, at(3));
    expect(ledger.pool()).toMatchObject({ usedBytes: 0n, sessionCount: 1 });
  });

  test('two heirs: what one has taken the other cannot', () => {
    const { ledger, ids } = broken(4);
    const [one, two] = [ledger.openSession(peer(1), at(2)), ledger.openSession(peer(1), at(2))];
    adopt(ledger, one, single(ids));
    refused('EXTENT_FOREIGN', () => adopt(ledger, two, single(ids)));
    refused('EXTENT_FOREIGN', () => ledger.returnExtents(two, ids, at(3)));
    ledger.sessionClosed(one, at(4));
    expect(adopt(ledger, two, single(ids))).toBe(pages(4));
    expect(ledger.pool()).toMatchObject({ usedBytes: pages(4), sessionCount: 1 });
    ledger.check();
  });
});

const geometry = { ...smallGeometry, slots: 3 };
const at3 = address(PLAN_BASE + pages(30));

describe('a cache of a session that the same process left behind', () => {
  test('is taken over by one on exactly its range, and its session is forgotten with it', () => {
    const ledger = ledgerOf();
    const former = ledger.openSession(peer(1), at(0));
    ledger.createCache(former, geometry, 'kv', at3);
    ledger.sessionClosed(former, at(1));
    const heir = ledger.openSession(peer(1), at(2));
    const again = ledger.createCache(heir, geometry, 'kv', at3);
    expect(again.plan.baseAddress).toBe(at3);
    expect(ledger.caches(null)).toEqual([again]);
    expect(ledger.sessions().map(({ id }) => id)).toEqual([heir]);
    ledger.check();
    ledger.destroyCache(heir, again.id);
    ledger.check();
    expect(ledger.createCache(heir, geometry, 'kv', at3).plan.baseAddress).toBe(at3);
  });

  test('placed outside the plan is taken over there', () => {
    const ledger = ledgerOf();
    const outside = address(PLAN_BASE / 2n);
    const former = ledger.openSession(peer(1), at(0));
    const { id } = ledger.createCache(former, geometry, 'kv', address(0n));
    ledger.placeCache(former, id, outside);
    ledger.sessionClosed(former, at(1));
    const heir = ledger.openSession(peer(1), at(2));
    expect(ledger.createCache(heir, geometry, 'kv', outside).plan.baseAddress).toBe(outside);
    expect(ledger.caches(null)).toHaveLength(1);
    ledger.check();
  });

  test('is not taken over where the new session has a cache already', () => {
    const ledger = ledgerOf();
    const outside = address(PLAN_BASE / 2n);
    const formers = [ledger.openSession(peer(1), at(0)), ledger.openSession(peer(1), at(0))];
    for (const former of formers) {
      // Outside the plan two sessions may say the same.
      const { id } = ledger.createCache(former, geometry, 'kv', address(0n));
      ledger.placeCache(former, id, outside);
      ledger.sessionClosed(former, at(1));
    }
    const heir = ledger.openSession(peer(1), at(2));
    expect(ledger.createCache(heir, geometry, 'kv', outside).plan.baseAddress).toBe(outside);
    expect(ledger.createCache(heir, geometry, 'kv', outside).plan.baseAddress).toBe(PLAN_BASE);
    expect(ledger.sessions().map(({ id }) => id)).toEqual([formers[1], heir]);
    ledger.check();
  });

  test.each<[string, number, number, bigint, boolean]>([
    ['an open session of the process', 1, 3, at3, false],
    ['another process', 2, 3, at3, true],
    ['a range of another size', 1, 2, at3, true],
    ['a range that only overlaps', 1, 3, at3 + pages(1), true],
  ])('keeps its range against %s', (_what, pid, slots, wanted, closed) => {
    const ledger = ledgerOf();
    const former = ledger.openSession(peer(1), at(0));
    const cache = ledger.createCache(former, geometry, 'kv', at3);
    if (closed) ledger.sessionClosed(former, at(1));
    const other = ledger.openSession(peer(pid), at(2));
    const { plan } = ledger.createCache(other, { ...geometry, slots }, 'kv', address(wanted));
    expect(plan.baseAddress).toBe(PLAN_BASE);
    expect(ledger.caches(former)).toEqual([cache]);
    ledger.check();
  });
});
