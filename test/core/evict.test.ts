/** An evicted session: each state that it may be in, and each operation that it may then try. */
import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../proto/errors.js';
import type { Ledger } from '../../daemon/core/ledger.js';
import {
  address,
  cacheId,
  grantId,
  type ExtentId,
  type SessionId,
} from '../../daemon/core/types.js';
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
  smallGeometry,
  snapshot,
} from './support.js';

const ANYWHERE = address(0n);
const OURS = 1;

interface Stage {
  readonly ledger: Ledger;
  readonly session: SessionId;
  readonly ids: readonly ExtentId[];
}

/** A session of process 1 with a cache, 5 pages, 2 more in flight, and one more grant that waits. */
function working(): Stage {
  const ledger = ledgerOf({ sessionLimitBytes: pages(12) });
  const session = ledger.openSession(peer(OURS), at(0));
  ledger.createCache(session, smallGeometry, 'c', ANYWHERE);
  const ids = hold(ledger, session, 1, 5);
  ledger.requestGrant(session, request(2, [2]), at(0));
  hold(ledger, ledger.openSession(peer(2), at(0)), 1, 8);
  ledger.requestGrant(session, request(3, [4], 0, 1_000), at(0));
  return { ledger, session, ids };
}

/** Each state that a session can be in when it is evicted. */
const states: Record<string, (stage: Stage) => void> = {
  open: () => undefined,
  'closed, its process alive': ({ ledger, session }) => void ledger.sessionClosed(session, at(1)),
  'evicted already': ({ ledger, session }) => void ledger.evict(session, at(1)),
};

type Try = (stage: Stage) => unknown;

const nothingMore: Record<string, Try> = {
  'ask for memory': ({ ledger, session }) => ledger.requestGrant(session, request(9, [1]), at(3)),
  cancel: ({ ledger, session }) => ledger.cancelGrant(session, grantId(3n), at(3)),
  adopt: ({ ledger, session }) => adopt(ledger, session, [{ id: 1n as ExtentId, order: 0 }]),
  'create a cache': ({ ledger, session }) =>
    ledger.createCache(session, smallGeometry, 'd', ANYWHERE),
  'place a cache': ({ ledger, session }) => ledger.placeCache(session, cacheId(1n), ANYWHERE),
  'answer a reclaim': ({ ledger, session }) => ledger.reclaimReported(session, 1n, at(3)),
  'come back': ({ ledger }) => ledger.openSession(peer(OURS), at(3)),
};

describe.each(Object.entries(states))('a session evicted while it is %s', (_name, before) => {
  const evicted = (): Stage => {
    const stage = working();
    before(stage);
    stage.ledger.evict(stage.session, at(2));
    return stage;
  };

  test.each(Object.entries(nothingMore))('cannot %s', (_what, attempt) => {
    const stage = evicted();
    const seen = snapshot(stage.ledger);
    const { message } = refused('SESSION_EVICTED', () => attempt(stage));
    expect(message).toMatch(/session 1 of process 1 was evicted by an administrator/);
    expect(snapshot(stage.ledger)).toEqual(seen);
    stage.ledger.check();
  });

  test('stays charged, and its tenant says how much of what it holds that is', () => {
    const { ledger, session } = evicted();
    expect(ledger.session(session)).toMatchObject({
      state: 'lingering',
      evicted: true,
      heldBytes: pages(7),
      waitingGrantCount: 0,
      cacheCount: 1,
    });
    expect(ledger.tenants().tenants).toMatchObject([
      { heldBytes: pages(15), evictedBytes: pages(7), sessionCount: 2, waitingGrantCount: 0 },
    ]);
  });

  test('may give back: memory, and the addresses of its caches', () => {
    const { ledger, session, ids } = evicted();
    expect(ledger.returnExtents(session, ids, at(3)).returned.heldBytes).toBe(pages(2));
    ledger.destroyCache(session, cacheId(1n));
    expect(ledger.tenants().tenants).toMatchObject([{ evictedBytes: pages(2) }]);
    ledger.check();
  });

  test('and what was on its way to it is settled, and charged to it', () => {
    const { ledger, session } = evicted();
    ledger.grantSettled(session, grantId(2n), 1, at(3));
    expect(ledger.session(session)).toMatchObject({ heldBytes: pages(6), extentCount: 6 });
    ledger.check();
  });

  test('is free, and its process number free again, once the process has exited', () => {
    const { ledger, session } = evicted();
    ledger.sessionExited(session, at(3));
    ledger.grantSettled(session, grantId(2n), 2, at(4));
    refused('SESSION_UNKNOWN', () => ledger.session(session));
    expect(ledger.pool()).toMatchObject({ usedBytes: pages(8), sessionCount: 1, cacheCount: 0 });
    ledger.openSession(peer(OURS), at(5));
    ledger.check();
  });
});

describe('an eviction', () => {
  test('refuses what waits, by its own code, and whoever waits behind is met', () => {
    const { ledger, session } = working();
    const other = ledger.openSession(peer(3), at(0));
    ledger.requestGrant(other, request(1, [1], 0, 1_000), at(1));
    const effects = ledger.evict(session, at(2));
    expect(refusals(effects).map(({ grant, error }) => [grant, error.code])).toEqual([
      [3n, 'SESSION_EVICTED' satisfies ErrorCode],
    ]);
    expect(granted(effects)).toEqual(['3:1 1']);
  });

  test('keeps a process out that has given everything back, until it exits', () => {
    const ledger = ledgerOf({ sessionsMax: 2 });
    const session = ledger.openSession(peer(OURS), at(0));
    ledger.returnExtents(session, hold(ledger, session, 1, 2), at(1));
    ledger.evict(session, at(2));
    expect(ledger.session(session)).toMatchObject({ evicted: true, heldBytes: 0n });
    refused('SESSION_EVICTED', () => ledger.openSession(peer(OURS), at(3)));
    // The same number of another user is another process.
    ledger.openSession({ ...peer(OURS), uid: 7 }, at(3));
    // It has its place among the sessions, as one that only closed has.
    refused('SESSION_LIMIT', () => ledger.openSession(peer(2), at(3)));
    ledger.sessionExited(session, at(4));
    ledger.openSession(peer(OURS), at(4));
    ledger.check();
  });

  test('leaves other sessions of the process alone, and gives them nothing of it', () => {
    const ledger = ledgerOf();
    const [session, twin] = [
      ledger.openSession(peer(OURS), at(0)),
      ledger.openSession(peer(OURS), at(0)),
    ];
    const [id] = hold(ledger, session, 1, 1);
    ledger.evict(session, at(1));
    hold(ledger, twin, 1, 1);
    refused('EXTENT_FOREIGN', () => adopt(ledger, twin, [{ id: id as ExtentId, order: 0 }]));
    refused('EXTENT_FOREIGN', () => ledger.returnExtents(twin, [id as ExtentId], at(2)));
    expect(ledger.session(twin)).toMatchObject({ heldBytes: pages(1), evicted: false });
  });

  test('of a session that is not, or whose process is gone, is refused', () => {
    const { ledger, session } = working();
    refused('SESSION_UNKNOWN', () => ledger.evict(99n as SessionId, at(1)));
    // Still on the list for what is in flight.
    ledger.sessionExited(session, at(1));
    const seen = snapshot(ledger);
    refused('SESSION_UNKNOWN', () => ledger.evict(session, at(2)));
    expect(snapshot(ledger)).toEqual(seen);
  });
});
