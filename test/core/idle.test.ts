import { describe, expect, test } from 'vitest';
import type { Ledger } from '../../daemon/core/ledger.js';
import { RECLAIM_DEADLINE_MS } from '../../daemon/core/limits.js';
import type { Effect, ExtentId, SessionId, TenantSpec } from '../../daemon/core/types.js';
import { at, granted, hold, ledgerWith, pages, peer, reclaims, request } from './support.js';

interface World {
  readonly ledger: Ledger;
  /** Sessions 1, 2, ... as held. */
  readonly sessions: SessionId[];
  readonly ids: ExtentId[][];
}

/** A pool of 16 pages; each session is of the tenant that is said, and holds so many. */
function world(tenants: Partial<TenantSpec>[], held: readonly [number, number][]): World {
  const ledger = ledgerWith(...tenants);
  const sessions = held.map(([of], index) =>
    ledger.openSession({ ...peer(index + 1), uid: 1000 + of }, at(0)),
  );
  const ids = held.map(([, count], index) =>
    count === 0 ? [] : hold(ledger, sessions[index] as SessionId, 1, count),
  );
  return { ledger, sessions, ids };
}

/** Session, pages, and `idle` if only that is asked for. */
const asked = (effects: readonly Effect[]): string[] =>
  reclaims(effects).map(
    ({ session, wantedBytes, idleOnly }) =>
      `${session} ${wantedBytes / pages(1)}${idleOnly ? ' idle' : ''}`,
  );

const report = ({ ledger }: World, effects: readonly Effect[], session: number, now: number) => {
  const asking = reclaims(effects).find(effect => effect.session === BigInt(session));
  return ledger.reclaimReported(BigInt(session) as SessionId, asking?.reclaim as bigint, at(now));
};

describe('what lies idle with tenants within their shares', () => {
  test('is asked for when nobody is above the share of who asks', () => {
    const { ledger, sessions } = world(
      [{}, {}, {}],
      [
        [0, 6],
        [1, 6],
        [2, 4],
      ],
    );
    const effects = ledger.requestGrant(sessions[0] as never, request(9, [4], 0, 1_000), at(0));
    // The larger first, down to one level, as ever.
    expect(asked(effects)).toEqual(['2 3 idle', '3 1 idle']);
  });

  test('is asked for beside what others have above that share', () => {
    const { ledger, sessions } = world(
      [{}, {}, {}],
      [
        [0, 0],
        [1, 9],
        [2, 7],
      ],
    );
    const effects = ledger.requestGrant(sessions[0] as never, request(9, [8], 0, 1_000), at(0));
    expect(asked(effects)).toEqual(['2 1', '3 7 idle']);
  });

  test('flows: who gives it has it no more, and owes nothing', () => {
    const all = world(
      [{}, {}],
      [
        [0, 8],
        [1, 8],
      ],
    );
    const { ledger, sessions, ids } = all;
    const effects = ledger.requestGrant(sessions[0] as never, request(9, [3], 0, 1_000), at(0));
    const given = ledger.returnExtents(sessions[1] as never, (ids[1] ?? []).slice(0, 3), at(5));
    expect(granted(given.effects)).toEqual(['1:9 1 1 1']);
    expect(report(all, effects, 2, 6)).toEqual([]);
    expect(ledger.session(sessions[1] as never)).toMatchObject({ overdueCount: 0 });
  });

  test('is not asked for twice at once: who has none says so, and others are asked at once', () => {
    const all = world(
      [{}, {}, {}],
      [
        [0, 5],
        [1, 6],
        [2, 5],
      ],
    );
    const { ledger, sessions } = all;
    const first = ledger.requestGrant(sessions[0] as never, request(9, [1], 0, 2_000), at(0));
    expect(asked(first)).toEqual(['2 1 idle']);
    const second = report(all, first, 2, 5);
    expect(asked(second)).toEqual(['3 1 idle']);
    expect(asked(report(all, second, 3, 10))).toEqual([]);
    // A moment later something may have ended: everybody is asked again.
    expect(asked(ledger.expire(at(10 + RECLAIM_DEADLINE_MS)))).toEqual(['2 1 idle']);
  });

  test('comes before what the own tenant has live, and that is asked when there is none', () => {
    const all = world(
      [{}, {}],
      [
        [0, 4],
        [0, 6],
        [1, 6],
      ],
    );
    const { ledger, sessions } = all;
    const first = ledger.requestGrant(sessions[0] as never, request(9, [2], 0, 2_000), at(0));
    expect(asked(first)).toEqual(['3 2 idle']);
    expect(asked(report(all, first, 3, 5))).toEqual(['2 2']);
  });

  test('is not waited for without end when its session is stopped, which is not recorded', () => {
    const { ledger, sessions } = world(
      [{}, {}],
      [
        [0, 4],
        [0, 6],
        [1, 6],
      ],
    );
    const first = ledger.requestGrant(sessions[0] as never, request(9, [2], 0, 2_000), at(0));
    expect(asked(first)).toEqual(['3 2 idle']);
    const next = ledger.expire(at(RECLAIM_DEADLINE_MS));
    expect(next.map(({ kind }) => kind)).toEqual(['reclaim', 'reclaim']);
    expect(asked(next).toSorted()).toEqual(['2 2', '3 2 idle']);
    expect(ledger.session(sessions[2] as never)).toMatchObject({
      overdueCount: 0,
      servedLast: false,
    });
  });

  test('is not asked for of a guarantee that is held, but of what is above it', () => {
    const { ledger, sessions } = world(
      [{}, { guaranteedBytes: pages(5), held: true }],
      [
        [0, 8],
        [1, 8],
      ],
    );
    const effects = ledger.requestGrant(sessions[0] as never, request(9, [6], 0, 1_000), at(0));
    expect(asked(effects)).toEqual(['2 3 idle']);
  });

  test('is not what keeps a session from being asked for what it has to give', () => {
    const all = world(
      [{ guaranteedBytes: pages(4) }, {}, {}],
      [
        [0, 0],
        [1, 8],
        [2, 8],
      ],
    );
    const { ledger, sessions } = all;
    const idle = ledger.requestGrant(sessions[1] as never, request(9, [1], 0, 5_000), at(0));
    expect(asked(idle)).toEqual(['3 1 idle']);
    report(all, idle, 3, 5);
    // It has brought nothing idle; for a guarantee it is no worse to ask than the other.
    const entitled = ledger.requestGrant(sessions[0] as never, request(9, [4], 0, 5_000), at(6));
    expect(asked(entitled)).toEqual(['2 2', '3 2']);
  });
});
