import { describe, expect, test } from 'vitest';
import type { Ledger } from '../../daemon/core/ledger.js';
import { grantId, type ExtentId, type SessionId } from '../../daemon/core/types.js';
import {
  adopt,
  at,
  granted,
  hold,
  ledgerOf,
  pages,
  peer,
  refusals,
  refused,
  request,
} from './support.js';

/** Three sessions; the first holds 12 of 16 pages. */
function tight(): { ledger: Ledger; a: SessionId; b: SessionId; c: SessionId; held: ExtentId[] } {
  const ledger = ledgerOf();
  const [a, b, c] = [1, 2, 3].map(pid => ledger.openSession(peer(pid), at(0))) as [
    SessionId,
    SessionId,
    SessionId,
  ];
  return { ledger, a, b, c, held: hold(ledger, a, 1, 12) };
}

describe('waiting for the pool', () => {
  test('a grant waits, and is met as soon as enough is returned', () => {
    const { ledger, a, b, held } = tight();
    expect(granted(ledger.requestGrant(b, request(1, [6], 0, 1_000), at(0)))).toEqual([]);
    expect(ledger.pool()).toMatchObject({ waitingGrantCount: 1, waitingBytes: pages(6) });
    expect(ledger.session(b)).toMatchObject({ waitingGrantCount: 1, heldBytes: 0n });
    expect(granted(ledger.returnExtents(a, held.slice(0, 1), at(1)).effects)).toEqual([]);
    expect(granted(ledger.returnExtents(a, held.slice(1, 2), at(2)).effects)).toEqual([
      '2:1 1 1 1 1 1 1',
    ]);
    expect(ledger.pool()).toMatchObject({ waitingGrantCount: 0, waitingBytes: 0n, freeBytes: 0n });
  });

  test('a waiting grant is met in part as soon as its minimum is free', () => {
    const { ledger, a, b, held } = tight();
    ledger.requestGrant(b, request(1, [0, 0, 0, 1], 6, 1_000), at(0));
    expect(granted(ledger.returnExtents(a, held.slice(0, 2), at(1)).effects)).toEqual(['2:1 4 2']);
  });

  test('a small later grant does not overtake a large waiting one, waiting or not', () => {
    const { ledger, a, b, c, held } = tight();
    ledger.requestGrant(b, request(1, [10], 0, 1_000), at(0));
    const error = refused('POOL_EXHAUSTED', () => ledger.requestGrant(c, request(1, [1]), at(0)));
    expect(error.message).toContain('1 grants wait before it');
    expect(error.freeBytes).toBe(pages(4));
    expect(granted(ledger.requestGrant(c, request(2, [1], 0, 1_000), at(0)))).toEqual([]);
    expect(granted(ledger.returnExtents(a, held.slice(0, 5), at(1)).effects)).toEqual([]);
    expect(granted(ledger.returnExtents(a, held.slice(5, 7), at(2)).effects)).toEqual([
      '2:1 1 1 1 1 1 1 1 1 1 1',
      '3:2 1',
    ]);
  });

  test('who waits only for its own quota blocks nobody else, but its own later grants', () => {
    const { ledger, a, b, held } = tight();
    ledger.requestGrant(a, request(2, [2], 0, 1_000), at(0));
    expect(granted(ledger.requestGrant(b, request(1, [2]), at(0)))).toEqual(['2:1 1 1']);
    const error = refused('QUOTA_EXHAUSTED', () => ledger.requestGrant(a, request(3, [1]), at(0)));
    expect(error.message).toContain('1 grants of the session wait before it');
    ledger.requestGrant(a, request(3, [1], 0, 1_000), at(0));
    expect(granted(ledger.returnExtents(a, held.slice(0, 1), at(1)).effects)).toEqual([]);
    expect(granted(ledger.returnExtents(a, held.slice(1, 3), at(1)).effects)).toEqual([
      '1:2 1 1',
      '1:3 1',
    ]);
    ledger.check();
  });

  test('who stood aside for its quota keeps its place', () => {
    const { ledger, a, b, c, held } = tight();
    ledger.requestGrant(a, request(2, [3], 0, 1_000), at(0));
    const [first] = hold(ledger, c, 9, 4) as [ExtentId];
    ledger.requestGrant(b, request(1, [3], 0, 1_000), at(0));
    // Both quota and pool now allow one of the two: the older.
    expect(granted(ledger.returnExtents(a, held.slice(0, 3), at(1)).effects)).toEqual([
      '1:2 1 1 1',
    ]);
    expect(granted(ledger.returnExtents(c, [first], at(2)).effects)).toEqual([]);
    expect(granted(ledger.returnExtents(a, held.slice(3, 5), at(3)).effects)).toEqual([
      '2:1 1 1 1',
    ]);
  });
});

describe('the end of waiting', () => {
  test('is the deadline: refused then and not before, in order, saying who holds what', () => {
    const { ledger, b, c } = tight();
    ledger.requestGrant(b, request(1, [8], 0, 200), at(0));
    ledger.requestGrant(c, request(1, [8], 0, 100), at(50));
    ledger.requestGrant(b, request(2, [8], 0, 100), at(50));
    expect(ledger.nextExpiry()).toBe(150);
    expect(refusals(ledger.expire(at(149)))).toEqual([]);
    const told = refusals(ledger.expire(at(200)));
    expect(told.map(({ session, grant }) => [session, grant])).toEqual([
      [3n, 1n],
      [2n, 2n],
      [2n, 1n],
    ]);
    expect(told[0]?.error).toMatchObject({
      code: 'POOL_EXHAUSTED',
      askedBytes: pages(8),
      freeBytes: pages(4),
    });
    expect(told[0]?.error.holders).toEqual([{ sessionId: 1n, pid: 1, heldBytes: pages(12) }]);
    expect(told[0]?.error.message).toContain('waited 100 ms');
    expect(ledger.nextExpiry()).toBeNull();
    expect(ledger.pool()).toMatchObject({
      waitingGrantCount: 0,
      waitingBytes: 0n,
      refusedCount: 3n,
    });
  });

  test('of the first lets the next be met', () => {
    const { ledger, b, c } = tight();
    ledger.requestGrant(b, request(1, [8], 0, 100), at(0));
    ledger.requestGrant(c, request(1, [4], 0, 1_000), at(0));
    expect(granted(ledger.expire(at(100)))).toEqual(['3:1 1 1 1 1']);
  });

  test('is a cancellation: answered, and the next is met', () => {
    const { ledger, b, c } = tight();
    ledger.requestGrant(b, request(1, [8], 0, 1_000), at(0));
    ledger.requestGrant(c, request(1, [4], 0, 1_000), at(0));
    const { cancelled, effects } = ledger.cancelGrant(b, grantId(1n), at(1));
    expect(cancelled).toBe(true);
    expect(effects.map(effect => effect.kind)).toEqual(['refuse', 'grant']);
    expect(refusals(effects)[0]?.error.code).toBe('GRANT_CANCELLED');
    expect(ledger.cancelGrant(c, grantId(1n), at(1))).toEqual({ cancelled: false, effects: [] });
  });

  test('is the shutdown: all are refused in line order, and nothing new is given out', () => {
    const { ledger, a, b, c, held } = tight();
    ledger.requestGrant(b, request(1, [8], 0, 1_000), at(0));
    ledger.requestGrant(c, request(1, [8], 0, 500), at(0));
    const told = refusals(ledger.drain(at(1)));
    expect(told.map(({ session, error }) => [session, error.code])).toEqual([
      [2n, 'DRAINING'],
      [3n, 'DRAINING'],
    ]);
    expect(ledger.drain(at(1))).toEqual([]);
    refused('DRAINING', () => ledger.requestGrant(b, request(2, [1]), at(2)));
    refused('DRAINING', () => ledger.openSession(peer(4), at(2)));
    refused('DRAINING', () => adopt(ledger, b, []));
    expect(ledger.returnExtents(a, held, at(3)).returned.heldBytes).toBe(0n);
    ledger.check();
  });

  test('leaves nothing behind when 10,000 grants are cancelled before their time', () => {
    const { ledger, b } = tight();
    for (let id = 1; id <= 10_000; id += 1) {
      ledger.requestGrant(b, request(id, [8], 0, 10_000), at(0));
      ledger.cancelGrant(b, grantId(BigInt(id)), at(0));
    }
    expect(ledger.nextExpiry()).toBeNull();
    ledger.check();
  });
});
