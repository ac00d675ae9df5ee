import { describe, expect, test } from 'vitest';
import { createLedger } from '../../daemon/core/ledger.js';
import { extentId, grantId, type ExtentId } from '../../daemon/core/types.js';
import {
  adopt,
  EPOCH,
  at,
  grants,
  hold,
  ledgerOf,
  pages,
  peer,
  refused,
  request,
  smallLimits,
  snapshot,
} from './support.js';

const ofEpoch = (epoch: bigint, counter: bigint): ExtentId => extentId((epoch << 40n) | counter);
const old = (counter: number): ExtentId => ofEpoch(EPOCH - 1n, BigInt(counter));

describe('returning extents', () => {
  test('frees them and says what is left', () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    const ids = hold(ledger, session, 1, 5);
    const { returned } = ledger.returnExtents(session, ids.slice(1, 3), at(1));
    expect(returned).toEqual({ extentCount: 2, returnedBytes: pages(2), heldBytes: pages(3) });
    expect(ledger.pool()).toMatchObject({
      usedBytes: pages(3),
      returnedBytes: pages(2),
      extentCount: 3,
    });
  });

  test.each<[string, (mine: ExtentId, others: ExtentId, gone: ExtentId) => ExtentId, string]>([
    ['never granted', () => ofEpoch(EPOCH, 99n), 'EXTENT_UNKNOWN'],
    ['of another daemon run', () => old(1), 'EXTENT_UNKNOWN'],
    ['with the counter 0', () => ofEpoch(EPOCH, 0n), 'EXTENT_UNKNOWN'],
    ['that is not a bigint', () => 7 as never, 'EXTENT_UNKNOWN'],
    ['of another session', (_mine, others) => others, 'EXTENT_FOREIGN'],
    ['returned before', (_mine, _others, gone) => gone, 'EXTENT_RETURNED'],
    ['that stands twice', mine => mine, 'EXTENT_RETURNED'],
  ])('all or nothing: refused for one %s', (_what, choose, code) => {
    const ledger = ledgerOf();
    const [session, other] = [
      ledger.openSession(peer(1), at(0)),
      ledger.openSession(peer(2), at(0)),
    ];
    const [mine, gone] = hold(ledger, session, 1, 3) as [ExtentId, ExtentId];
    const [others] = hold(ledger, other, 1, 1) as [ExtentId];
    ledger.returnExtents(session, [gone], at(0));
    const before = snapshot(ledger);
    const bad = choose(mine, others, gone);
    const error = refused(code as never, () => ledger.returnExtents(session, [mine, bad], at(0)));
    expect(error.field).toBe('extent_ids');
    expect(error.message).toContain(String(bad));
    expect(snapshot(ledger)).toEqual(before);
    ledger.check();
  });

  test('an extent may come back before its grant is settled: taken once, charged until then', () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    const [grant] = grants(ledger.requestGrant(session, request(1, [3]), at(0)));
    const [first] = (grant?.extents ?? []).map(({ id }) => id) as [ExtentId];
    const { returned } = ledger.returnExtents(session, [first], at(1));
    expect(returned).toEqual({ extentCount: 1, returnedBytes: pages(1), heldBytes: pages(3) });
    refused('EXTENT_RETURNED', () => ledger.returnExtents(session, [first], at(1)));
    ledger.check();
    ledger.grantSettled(session, grantId(1n), 2, at(2));
    expect(ledger.session(session).heldBytes).toBe(pages(1));
    expect(ledger.pool().returnedBytes).toBe(pages(2));
    refused('EXTENT_RETURNED', () => ledger.returnExtents(session, [first], at(3)));
  });

  test('an id is never given twice', () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    const seen = new Set<ExtentId>();
    for (let round = 1; round <= 100; round += 1) {
      const ids = hold(ledger, session, 1, 5);
      for (const id of ids) seen.add(id);
      ledger.returnExtents(session, ids, at(round));
    }
    expect(seen.size).toBe(500);
  });
});

describe('adopting extents of an earlier daemon', () => {
  test('charges them, and they can be returned', () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    expect(
      adopt(ledger, session, [
        { id: old(1), order: 2 },
        { id: old(2), order: 0 },
      ]),
    ).toBe(pages(5));
    expect(ledger.pool()).toMatchObject({ usedBytes: pages(5), extentCount: 2, grantedCount: 0n });
    expect(ledger.returnExtents(session, [old(1)], at(1)).returned.heldBytes).toBe(pages(1));
    refused('EXTENT_UNKNOWN', () => ledger.returnExtents(session, [old(1)], at(1)));
    ledger.check();
  });

  test.each<[string, readonly { id: ExtentId; order: number }[], string, string]>([
    ['of this run', [{ id: ofEpoch(EPOCH, 1n), order: 0 }], 'INVALID_ARGUMENT', 'extent_ids'],
    [
      'twice',
      [
        { id: old(1), order: 0 },
        { id: old(1), order: 0 },
      ],
      'INVALID_ARGUMENT',
      'extent_ids',
    ],
    ['that another session has', [{ id: old(50), order: 0 }], 'EXTENT_FOREIGN', 'extent_ids'],
    ['0', [{ id: extentId(0n), order: 0 }], 'INVALID_ARGUMENT', 'extent_ids'],
    [
      'of more than 64 bits',
      [{ id: extentId(2n ** 64n), order: 0 }],
      'INVALID_ARGUMENT',
      'extent_ids',
    ],
    ['of order 10', [{ id: old(1), order: 10 }], 'INVALID_ARGUMENT', 'extent_orders'],
    ['of order -1', [{ id: old(1), order: -1 }], 'INVALID_ARGUMENT', 'extent_orders'],
    ['of order 0.5', [{ id: old(1), order: 0.5 }], 'INVALID_ARGUMENT', 'extent_orders'],
    [
      "past the session's limit",
      [
        { id: old(1), order: 3 },
        { id: old(2), order: 3 },
      ],
      'QUOTA_EXHAUSTED',
      '',
    ],
    [
      'past the pool',
      [
        { id: old(1), order: 3 },
        { id: old(2), order: 2 },
      ],
      'POOL_EXHAUSTED',
      '',
    ],
  ])('is refused as a whole for an id %s', (_what, bad, code, field) => {
    const ledger = ledgerOf();
    const [session, other] = [
      ledger.openSession(peer(1), at(0)),
      ledger.openSession(peer(2), at(0)),
    ];
    adopt(ledger, other, [{ id: old(50), order: 2 }]);
    adopt(ledger, other, [{ id: old(51), order: 0 }]);
    const before = snapshot(ledger);
    expect(refused(code as never, () => adopt(ledger, session, bad)).field).toBe(field);
    expect(snapshot(ledger)).toEqual(before);
    ledger.check();
  });

  test('does not take the quota that a waiting grant of the session needs', () => {
    const ledger = ledgerOf();
    const [session, other] = [
      ledger.openSession(peer(1), at(0)),
      ledger.openSession(peer(2), at(0)),
    ];
    hold(ledger, other, 1, 10);
    ledger.requestGrant(session, request(1, [8], 0, 1_000), at(0));
    refused('QUOTA_EXHAUSTED', () =>
      adopt(ledger, session, [
        { id: old(1), order: 0 },
        { id: old(2), order: 2 },
      ]),
    );
    expect(adopt(ledger, session, [{ id: old(1), order: 2 }])).toBe(pages(4));
    ledger.check();
  });
});

describe('epochs', () => {
  test.each([-1n, 1n << 24n, 5 as never])('%s is refused', epoch => {
    expect(refused('INVALID_ARGUMENT', () => createLedger(smallLimits(), { epoch })).field).toBe(
      'epoch',
    );
  });

  test('the largest gives ids of 64 bits', () => {
    const ledger = createLedger(smallLimits(), { epoch: (1n << 24n) - 1n });
    const [id] = hold(ledger, ledger.openSession(peer(1), at(0)), 1, 1) as [ExtentId];
    expect(id).toBe((((1n << 24n) - 1n) << 40n) + 1n);
  });
});
