import { describe, expect, test } from 'vitest';
import { grantId } from '../../daemon/core/types.js';
import { at, granted, hold, ledgerOf, pages, peer, refusals, refused, request } from './support.js';

describe('a session', () => {
  test('is shown as its peer, its account and its state', () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(42), at(7));
    expect(ledger.session(session)).toEqual({
      id: session,
      peer: peer(42),
      state: 'open',
      evicted: false,
      openedAt: 7,
      heldBytes: 0n,
      inFlightBytes: 0n,
      limitBytes: pages(12),
      extentCount: 0,
      cacheCount: 0,
      waitingGrantCount: 0,
      tenant: 'default',
      overdueCount: 0,
      servedLast: false,
      promisedBytes: 0n,
      promiseCount: 0,
    });
  });

  test('over the limit is refused; one that has exited makes room, one that is only closed does not', () => {
    const ledger = ledgerOf({ sessionsMax: 2 });
    const first = ledger.openSession(peer(1), at(0));
    ledger.openSession(peer(2), at(0));
    refused('SESSION_LIMIT', () => ledger.openSession(peer(3), at(0)));
    ledger.sessionClosed(first, at(1));
    expect(refused('SESSION_LIMIT', () => ledger.openSession(peer(3), at(1))).message).toContain(
      'allowed: 2',
    );
    ledger.sessionExited(first, at(2));
    expect(ledger.openSession(peer(3), at(2))).not.toBe(first);
  });

  test('that closed is charged until its process exits, and may still give back', () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    const ids = hold(ledger, session, 1, 5);
    ledger.sessionClosed(session, at(1));
    expect(ledger.session(session)).toMatchObject({ state: 'lingering', heldBytes: pages(5) });
    refused('SESSION_UNKNOWN', () => ledger.requestGrant(session, request(2, [1]), at(1)));
    expect(ledger.returnExtents(session, ids.slice(0, 2), at(2)).returned.heldBytes).toBe(pages(3));
    expect(ledger.sessionClosed(session, at(2))).toEqual([]);
    ledger.sessionExited(session, at(3));
    refused('SESSION_UNKNOWN', () => ledger.session(session));
    expect(ledger.pool()).toMatchObject({ usedBytes: 0n, extentCount: 0, sessionCount: 0 });
  });

  test('that closed gets its waiting grants refused, and whoever waits behind is met', () => {
    const ledger = ledgerOf();
    const [a, b, c] = [1, 2, 3].map(pid => ledger.openSession(peer(pid), at(0)));
    hold(ledger, a as never, 1, 12);
    ledger.requestGrant(b as never, request(1, [8], 0, 100), at(0));
    ledger.requestGrant(b as never, request(2, [4], 0, 100), at(0));
    ledger.requestGrant(c as never, request(1, [3], 0, 100), at(0));
    const effects = ledger.sessionClosed(b as never, at(1));
    expect(refusals(effects).map(({ grant, error }) => [grant, error.code])).toEqual([
      [1n, 'GRANT_CANCELLED'],
      [2n, 'GRANT_CANCELLED'],
    ]);
    expect(granted(effects)).toEqual(['3:1 1 1 1']);
  });

  test('that exits frees everything but what is in flight, which is freed when it is settled', () => {
    const ledger = ledgerOf();
    const [a, b] = [ledger.openSession(peer(1), at(0)), ledger.openSession(peer(2), at(0))];
    hold(ledger, a, 1, 4);
    ledger.requestGrant(a, request(2, [8]), at(0));
    ledger.requestGrant(b, request(1, [12], 0, 1_000), at(0));
    ledger.requestGrant(a, request(3, [2], 0, 1_000), at(0));
    const effects = ledger.sessionExited(a, at(1));
    expect(refusals(effects).map(({ grant }) => grant)).toEqual([3n]);
    expect(granted(effects)).toEqual([]);
    expect(ledger.session(a)).toMatchObject({ state: 'lingering', heldBytes: pages(8) });
    refused('SESSION_UNKNOWN', () => ledger.returnExtents(a, [], at(2)));
    expect(ledger.sessionExited(a, at(2))).toEqual([]);
    // However many arrived: there is nobody left to hold them.
    expect(granted(ledger.grantSettled(a, grantId(2n), 8, at(3)))).toEqual([
      `2:1 ${Array.from({ length: 12 }, () => 1).join(' ')}`,
    ]);
    refused('SESSION_UNKNOWN', () => ledger.grantSettled(a, grantId(2n), 8, at(4)));
    expect(ledger.pool()).toMatchObject({ usedBytes: pages(12), sessionCount: 1 });
    ledger.check();
  });

  test('that exits without having closed is closed by it', () => {
    const ledger = ledgerOf();
    const session = ledger.openSession(peer(1), at(0));
    hold(ledger, session, 1, 4);
    ledger.sessionExited(session, at(1));
    expect(ledger.pool()).toMatchObject({ usedBytes: 0n, sessionCount: 0 });
  });
});

/** The least time, in ms, to be granted and return 100 extents beside `others` sessions with 100 each. */
function leastRoundMs(others: number): number {
  const ledger = ledgerOf({
    poolBytes: pages(200_000),
    sessionLimitBytes: pages(20_000),
    sessionsMax: 2_000,
    extentsPerGrantMax: 1_000,
  });
  for (let pid = 1; pid <= others; pid += 1)
    hold(ledger, ledger.openSession(peer(pid), at(0)), 1, 100);
  const session = ledger.openSession(peer(9_999), at(0));
  const times = Array.from({ length: 400 }, () => {
    const started = performance.now();
    ledger.returnExtents(session, hold(ledger, session, 1, 100), at(1));
    return performance.now() - started;
  });
  // The least of many: what the machine does besides only ever adds.
  return Math.min(...times);
}

describe('many sessions and extents', () => {
  test('a grant and its return cost the same beside 100,000 extents of 1,000 sessions as beside none', () => {
    const [few, many] = [leastRoundMs(0), leastRoundMs(1_000)];
    console.log(
      `grant, settle and return 100 extents: ${(few * 1000).toFixed(0)} us beside none, ` +
        `${(many * 1000).toFixed(0)} us beside 100,000`,
    );
    // Linear work would be a thousand times as much; larger tables and colder caches are a few times.
    expect(many).toBeLessThan(20 * few);
  });
});
