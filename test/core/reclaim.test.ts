import { describe, expect, test } from 'vitest';
import { RECLAIM_DEADLINE_MS } from '../../daemon/core/limits.js';
import type { Ledger } from '../../daemon/core/ledger.js';
import type { Effect, ExtentId, SessionId } from '../../daemon/core/types.js';
import { at, hold, ledgerOf, pages, peer, reclaims, refused, request } from './support.js';

/** A pool of 16 pages held as said, by sessions 1, 2, ...; the last session holds nothing. */
function heldBy(...counts: number[]): {
  ledger: Ledger;
  asker: SessionId;
  sessions: SessionId[];
  ids: ExtentId[][];
} {
  const ledger = ledgerOf();
  const sessions = counts.map((_, index) => ledger.openSession(peer(index + 1), at(0)));
  const ids = sessions.map((session, index) => hold(ledger, session, 1, counts[index] as number));
  return { ledger, asker: ledger.openSession(peer(99), at(0)), sessions, ids };
}

const asked = (effects: readonly Effect[]): [bigint, bigint][] =>
  reclaims(effects).map(({ session, wantedBytes }) => [session, wantedBytes / pages(1)]);

describe('who is asked to give back', () => {
  test.each<[string, number[], number, [bigint, bigint][]]>([
    ['the largest alone, if that brings it no lower than the next', [10, 4, 2], 4, [[1n, 4n]]],
    [
      'the largest down to one level',
      [8, 6, 2],
      8,
      [
        [1n, 5n],
        [2n, 3n],
      ],
    ],
    [
      'everybody for everything',
      [5, 6, 5],
      12,
      [
        [2n, 5n],
        [1n, 4n],
        [3n, 4n],
      ],
    ],
    ['only for what is not free', [8, 4], 6, [[1n, 2n]]],
  ])('is %s', (_what, held, wanted, expected) => {
    const { ledger, asker } = heldBy(...held);
    const effects = ledger.requestGrant(asker, request(1, [wanted], 0, 1_000), at(10));
    expect(asked(effects)).toEqual(expected);
    for (const { deadline } of reclaims(effects)) expect(deadline).toBe(10 + RECLAIM_DEADLINE_MS);
  });

  test('is never the asker, nor who is not connected', () => {
    const { ledger, asker, sessions } = heldBy(6, 4, 6);
    ledger.sessionClosed(sessions[1] as SessionId, at(0));
    expect(
      asked(ledger.requestGrant(sessions[0] as SessionId, request(2, [2], 0, 1_000), at(0))),
    ).toEqual([[3n, 2n]]);
    expect(asker).toBe(4n);
  });

  test('is nobody for a grant that waits for its quota, is refused, or needs only what is on its way', () => {
    const { ledger, asker, sessions } = heldBy(12, 4);
    expect(ledger.requestGrant(sessions[0] as SessionId, request(2, [1], 0, 1_000), at(0))).toEqual(
      [],
    );
    refused('POOL_EXHAUSTED', () => ledger.requestGrant(asker, request(1, [4]), at(0)));
    expect(asked(ledger.requestGrant(asker, request(1, [3], 0, 1_000), at(0)))).toEqual([[1n, 3n]]);
    // Who waits himself is no better to ask than the asker, and the other is being asked.
    expect(
      asked(ledger.requestGrant(sessions[1] as SessionId, request(2, [1], 0, 1_000), at(0))),
    ).toEqual([]);
  });

  test('is one who waits for the pool himself only if all the others who hold anything wait too', () => {
    const { ledger, asker, sessions } = heldBy(9, 7);
    ledger.requestGrant(sessions[1] as SessionId, request(2, [1], 0, 1_000), at(0));
    ledger.reclaimReported(sessions[0] as SessionId, 1n, at(1));
    expect(
      asked(ledger.requestGrant(sessions[0] as SessionId, request(2, [2], 0, 1_000), at(2))),
    ).toEqual([[1n, 3n]]);
    expect(asked(ledger.requestGrant(asker, request(1, [1], 0, 1_000), at(3)))).toEqual([]);
  });
});

describe('no storm of reclaims', () => {
  test('a session is asked again only when it has reported or its deadline has passed', () => {
    const { ledger, asker } = heldBy(12);
    const [first] = reclaims(ledger.requestGrant(asker, request(1, [6], 0, 5_000), at(0)));
    expect(ledger.expire(at(RECLAIM_DEADLINE_MS - 1))).toEqual([]);
    expect(ledger.nextExpiry()).toBe(RECLAIM_DEADLINE_MS);
    const [second] = reclaims(ledger.expire(at(RECLAIM_DEADLINE_MS)));
    expect(second?.session).toBe(1n);
    expect(second?.reclaim).not.toBe(first?.reclaim);
    // A report that comes too late says nothing of the new one.
    expect(ledger.reclaimReported(1n as SessionId, first?.reclaim as bigint, at(260))).toEqual([]);
    expect(asked(ledger.requestGrant(asker, request(2, [1], 0, 5_000), at(270)))).toEqual([]);
    ledger.reclaimReported(1n as SessionId, second?.reclaim as bigint, at(280));
    expect(asked(ledger.requestGrant(asker, request(3, [1], 0, 5_000), at(290)))).toEqual([
      [1n, 2n],
    ]);
  });

  test.each(['does not answer', 'has nothing to spare'])(
    'the largest %s: what is idle behind it is asked for, and then it is asked once more',
    why => {
      const { ledger, asker, sessions, ids } = heldBy(11, 5);
      const [large, small] = sessions as [SessionId, SessionId];
      const report = (effects: readonly Effect[], now: number): void => {
        const [asking] = reclaims(effects);
        if (why === 'has nothing to spare' && asking !== undefined)
          ledger.reclaimReported(asking.session, asking.reclaim, at(now));
      };
      const round = (count: number): Effect[] => ledger.expire(at(count * RECLAIM_DEADLINE_MS));
      const first = ledger.requestGrant(asker, request(1, [2], 0, 5_000), at(0));
      expect(asked(first)).toEqual([[large, 2n]]);
      report(first, 1);
      const second = round(1);
      expect(asked(second)).toEqual([[small, 2n]]);
      report(second, RECLAIM_DEADLINE_MS + 1);
      const third = round(2);
      expect(asked(third)).toEqual([[large, 2n]]);
      report(third, 2 * RECLAIM_DEADLINE_MS + 1);
      // Who gives something back, asked or not, is asked like everybody else again.
      ledger.returnExtents(small, [ids[1]?.[0] as ExtentId], at(2 * RECLAIM_DEADLINE_MS + 2));
      expect(asked(round(3))).toEqual([[small, 1n]]);
    },
  );

  test('who brought nothing is asked for the rest if the others have too little', () => {
    const { ledger, asker, sessions } = heldBy(12, 4);
    ledger.requestGrant(asker, request(1, [6], 0, 5_000), at(0));
    ledger.reclaimReported(sessions[0] as SessionId, 1n, at(1));
    expect(asked(ledger.expire(at(RECLAIM_DEADLINE_MS)))).toEqual([
      [2n, 4n],
      [1n, 2n],
    ]);
  });

  test('what a session brings counts against what it was asked for', () => {
    const { ledger, asker, sessions, ids } = heldBy(12, 4);
    const [asking] = reclaims(ledger.requestGrant(asker, request(1, [4], 0, 5_000), at(0)));
    expect(
      ledger.returnExtents(sessions[0] as SessionId, (ids[0] as ExtentId[]).slice(0, 3), at(1))
        .effects,
    ).toEqual([]);
    // One of the four is still on its way, three are free: only the new one's page is missing.
    const third = ledger.openSession(peer(50), at(2));
    expect(asked(ledger.requestGrant(third, request(1, [1], 0, 5_000), at(2)))).toEqual([[2n, 1n]]);
    expect(asking?.wantedBytes).toBe(pages(4));
  });

  test('who closes while it is asked is replaced at once', () => {
    const { ledger, asker, sessions } = heldBy(12, 4);
    expect(asked(ledger.requestGrant(asker, request(1, [2], 0, 5_000), at(0)))).toEqual([[1n, 2n]]);
    expect(asked(ledger.sessionClosed(sessions[0] as SessionId, at(1)))).toEqual([[2n, 2n]]);
  });

  test('nobody waits: nobody is asked, and nothing is due', () => {
    const { ledger, asker } = heldBy(12, 4);
    ledger.requestGrant(asker, request(1, [2], 0, 100), at(0));
    expect(reclaims(ledger.expire(at(100)))).toEqual([]);
    expect(ledger.nextExpiry()).toBeNull();
  });

  test.each([0n, 2n, -1n, 1 as never])(
    'a report of a reclaim that never was is refused: %s',
    id => {
      const { ledger, asker, sessions } = heldBy(12, 4);
      ledger.requestGrant(asker, request(1, [2], 0, 100), at(0));
      expect(
        refused('INVALID_ARGUMENT', () =>
          ledger.reclaimReported(sessions[0] as SessionId, id, at(1)),
        ).field,
      ).toBe('reclaim_id');
    },
  );
});
