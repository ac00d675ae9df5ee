import { describe, expect, test } from 'vitest';
import { bytes, grantId, sessionId, type OrderCounts } from '../../daemon/core/types.js';
import {
  adopt,
  EPOCH,
  at,
  granted,
  grants,
  hold,
  ledgerOf,
  pages,
  peer,
  refused,
  request,
  snapshot,
} from './support.js';

describe('a grant that can be met', () => {
  test('is met at once, the largest extents first, with ids of this daemon run', () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    const [grant] = grants(ledger.requestGrant(session, request(5, [1, 0, 2]), at(0)));
    expect(grant).toMatchObject({ session, grant: 5n });
    expect(grant?.extents.map(({ id, bytes: size }) => [id >> 40n, id & 0xffn, size])).toEqual([
      [EPOCH, 1n, pages(4)],
      [EPOCH, 2n, pages(4)],
      [EPOCH, 3n, pages(1)],
    ]);
    expect(ledger.pool()).toMatchObject({
      usedBytes: pages(9),
      freeBytes: pages(7),
      extentCount: 3,
      grantedCount: 1n,
      grantedBytes: pages(9),
    });
    expect(ledger.session(session)).toMatchObject({
      heldBytes: pages(9),
      extentCount: 3,
      limitBytes: pages(12),
    });
  });

  test.each<[string, OrderCounts, number, number, number, string]>([
    ['to what the pool has, in smaller extents', [0, 0, 0, 1], 1, 9, 7, '2:1 4 2 1'],
    ['to what the pool has, the large before the small', [4, 0, 1], 1, 11, 5, '2:1 4 1'],
    ['to the minimum exactly', [0, 0, 2], 5, 11, 5, '2:1 4 1'],
    ['not at all when the pool has all of it', [3, 1], 1, 11, 5, '2:1 2 1 1 1'],
  ])('is cut down %s', (_what, counts, minimum, taken, left, expected) => {
    const ledger = ledgerOf({ sessionLimitBytes: pages(16) });
    const [other, session] = [
      ledger.openSession(peer(1), at(0)),
      ledger.openSession(peer(2), at(0)),
    ];
    hold(ledger, other, 1, taken);
    expect(ledger.pool().freeBytes).toBe(pages(left));
    expect(granted(ledger.requestGrant(session, request(1, counts, minimum), at(0)))).toEqual([
      expected,
    ]);
    ledger.check();
  });

  test('is cut down to the quota, never asked for more extents than one grant may have', () => {
    const ledger = ledgerOf({ sessionLimitBytes: pages(7), extentsPerGrantMax: 2 });
    const session = ledger.openSession(peer(1), at(0));
    expect(granted(ledger.requestGrant(session, request(1, [0, 0, 0, 1], 6), at(0)))).toEqual([
      '1:1 4 2',
    ]);
  });

  test('frees what did not arrive, once it is settled', () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    const [grant] = grants(ledger.requestGrant(session, request(1, [2, 0, 1]), at(0)));
    ledger.grantSettled(session, grantId(1n), 1, at(1));
    expect(ledger.session(session)).toMatchObject({ heldBytes: pages(4), extentCount: 1 });
    refused('EXTENT_RETURNED', () =>
      ledger.returnExtents(session, [grant?.extents[1]?.id as never], at(2)),
    );
  });
});

describe('a grant that cannot be met', () => {
  test('says what was asked, what is free, the pool, and who holds it: the largest first, at most 8', () => {
    const ledger = ledgerOf({
      poolBytes: pages(64),
      sessionLimitBytes: pages(64),
      sessionsMax: 20,
    });
    for (let pid = 1; pid <= 10; pid += 1)
      hold(ledger, ledger.openSession(peer(pid), at(0)), 1, pid);
    const session = ledger.openSession(peer(11), at(0));
    const error = refused('POOL_EXHAUSTED', () =>
      ledger.requestGrant(session, request(1, [10]), at(0)),
    );
    expect(error).toMatchObject({
      askedBytes: pages(10),
      freeBytes: pages(9),
      limitBytes: pages(64),
      retryable: true,
    });
    expect(error.holders.map(({ pid, heldBytes }) => [pid, heldBytes])).toEqual(
      [10, 9, 8, 7, 6, 5, 4, 3].map(pid => [pid, pages(pid)]),
    );
    expect(error.message).toContain(`session 10 (pid 10) ${pages(10)}`);
    expect(ledger.pool().refusedCount).toBe(1n);
  });

  test("for its session's limit says so", () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    hold(ledger, session, 1, 10);
    const error = refused('QUOTA_EXHAUSTED', () =>
      ledger.requestGrant(session, request(2, [3]), at(0)),
    );
    expect(error).toMatchObject({
      askedBytes: pages(3),
      freeBytes: pages(2),
      limitBytes: pages(12),
    });
  });

  test.each([
    ['QUOTA_EXHAUSTED', 13, 0, {}],
    ['QUOTA_EXHAUSTED', 14, 13, {}],
    ['POOL_EXHAUSTED', 17, 0, { sessionLimitBytes: pages(20) }],
  ] as const)(
    'by any waiting is refused at once, however long it would wait: %s, %i pages',
    (code, count, minimum, limits) => {
      const ledger = ledgerOf({ extentsPerGrantMax: 32, ...limits });
      const session = ledger.openSession(peer(1), at(0));
      const error = refused(code, () =>
        ledger.requestGrant(session, request(1, [count], minimum, 10_000), at(0)),
      );
      expect(error.message).toContain('could never be met');
    },
  );
});

describe('bad input is refused, names its field, and changes nothing', () => {
  const good = { ...request(9, [1]) };
  const table: [string, string, unknown][] = [
    ['grant', 'grant_id', 0n],
    ['grant', 'grant_id', -1n],
    ['grant', 'grant_id', 2n ** 64n],
    ['grant', 'grant_id', 1],
    ['counts', 'order_counts', []],
    ['counts', 'order_counts', [0, 0]],
    ['counts', 'order_counts', null],
    ['counts', 'order_counts', Array.from({ length: 11 }, () => 1)],
    ['counts', 'order_counts', [9, 8]],
    ['counts', 'order_counts[1]', [1, -1]],
    ['counts', 'order_counts[0]', [0.5]],
    ['counts', 'order_counts[0]', [17]],
    ['counts', 'order_counts[0]', [Number.NaN]],
    ['counts', 'order_counts[0]', ['1']],
    ['counts', 'order_counts[0]', [2 ** 53]],
    ['minimumBytes', 'minimum_bytes', -1n],
    ['minimumBytes', 'minimum_bytes', pages(1) + 1n],
    ['minimumBytes', 'minimum_bytes', 1],
    ['waitMs', 'wait_ms', -1],
    ['waitMs', 'wait_ms', 0.5],
    ['waitMs', 'wait_ms', 10_001],
    ['waitMs', 'wait_ms', Number.NaN],
  ];

  test.each(table)('%s: %s, %o', (key, field, value) => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    hold(ledger, session, 1, 3);
    const before = snapshot(ledger);
    const error = refused('INVALID_ARGUMENT', () =>
      ledger.requestGrant(session, { ...good, [key]: value }, at(0)),
    );
    expect(error.field).toBe(field);
    expect(error.message).toMatch(/allowed: /);
    expect(snapshot(ledger)).toEqual(before);
    ledger.check();
  });

  test('a sparse list of counts is no list of counts', () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    const counts = [] as number[];
    counts[1] = 1;
    expect(
      refused('INVALID_ARGUMENT', () => ledger.requestGrant(session, request(1, counts), at(0)))
        .field,
    ).toBe('order_counts[0]');
  });

  test('a grant id that is in flight or waits, and more grants than may be in flight', () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    ledger.requestGrant(session, request(1, [12]), at(0));
    ledger.requestGrant(session, request(2, [1], 0, 100), at(0));
    refused('GRANT_DUPLICATE', () => ledger.requestGrant(session, request(1, [1]), at(0)));
    refused('GRANT_DUPLICATE', () => ledger.requestGrant(session, request(2, [1]), at(0)));
    ledger.requestGrant(session, request(3, [1], 0, 100), at(0));
    ledger.requestGrant(session, request(4, [1], 0, 100), at(0));
    const error = refused('GRANT_LIMIT', () =>
      ledger.requestGrant(session, request(5, [1], 0, 100), at(0)),
    );
    expect(error.message).toContain('4 of session 1 are in flight, allowed: 4');
    ledger.grantSettled(session, grantId(1n), 12, at(1));
    ledger.requestGrant(session, request(1, [1], 0, 100), at(1));
    ledger.check();
  });

  test.each([-1, 1.5, 3, Number.NaN])('settling %s of 2 extents', count => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    ledger.requestGrant(session, request(1, [2]), at(0));
    const before = snapshot(ledger);
    refused('INVALID_ARGUMENT', () => ledger.grantSettled(session, grantId(1n), count, at(0)));
    refused('INVALID_ARGUMENT', () => ledger.grantSettled(session, grantId(2n), 0, at(0)));
    expect(snapshot(ledger)).toEqual(before);
  });

  test('a session that is not known', () => {
    const ledger = ledgerOf();
    const nobody = sessionId(5n);
    refused('SESSION_UNKNOWN', () => ledger.requestGrant(nobody, good, at(0)));
    refused('SESSION_UNKNOWN', () => ledger.cancelGrant(nobody, grantId(1n), at(0)));
    refused('SESSION_UNKNOWN', () => ledger.grantSettled(nobody, grantId(1n), 0, at(0)));
    refused('SESSION_UNKNOWN', () => ledger.returnExtents(nobody, [], at(0)));
    refused('SESSION_UNKNOWN', () => adopt(ledger, nobody, []));
    refused('SESSION_UNKNOWN', () => ledger.sessionClosed(nobody, at(0)));
    refused('SESSION_UNKNOWN', () => ledger.sessionExited(nobody, at(0)));
    refused('SESSION_UNKNOWN', () => ledger.session(nobody));
    refused('SESSION_UNKNOWN', () => ledger.caches(nobody));
    refused('SESSION_UNKNOWN', () => ledger.reclaimReported(nobody, 1n, at(0)));
    expect(ledger.pool().usedBytes).toBe(bytes(0n));
  });
});
