import { describe, expect, test } from 'vitest';
import type { Ledger, ReserveRequest, TenantChange } from '../../daemon/core/ledger.js';
import { LAPSE_MS_MAX, PROMISES_PER_SESSION_MAX } from '../../daemon/core/limits.js';
import {
  grantId,
  type CacheId,
  type Effect,
  type GrantId,
  type SessionId,
} from '../../daemon/core/types.js';
import {
  at,
  granted,
  hold,
  ledgerOf,
  ledgerWith,
  pages,
  peer,
  reclaims,
  refused,
  request,
  smallGeometry,
  snapshot,
} from './support.js';

/** A slot of such a cache has 8 pages at most, of 1,024 tokens each. */
const SLOT = { ...smallGeometry, maxTokens: 8 * 1024 };

interface Engine {
  readonly session: SessionId;
  readonly cache: CacheId;
}

function open(ledger: Ledger, pid = 1, uid = 1000): Engine {
  const session = ledger.openSession({ ...peer(pid), uid }, at(0));
  return { session, cache: ledger.createCache(session, SLOT, '', 0n as never).id };
}

const asking = (
  { cache }: Engine,
  id: number,
  pageCount: number,
  changes: Partial<ReserveRequest> = {},
): ReserveRequest => ({
  promise: grantId(BigInt(id)),
  cache,
  tokens: pageCount * 1024,
  overreadTokens: 0,
  mappedBytes: pages(0),
  waitMs: 0,
  lapseMs: 1_000,
  ...changes,
});

const draw = (ledger: Ledger, { session }: Engine, id: number, promise: number, count: number) =>
  ledger.requestGrant(
    session,
    { ...request(id, [count]), promise: grantId(BigInt(promise)) },
    at(10),
  );

const promise = (id: number): GrantId => grantId(BigInt(id));
const keep = (ledger: Ledger, { session }: Engine, id: number, left: number, now = 10): Effect[] =>
  ledger.keepPromise(session, promise(id), pages(left), at(now));

describe('a promise', () => {
  test('counts as if it were held: against the pool, the session, the tenant', () => {
    const ledger = ledgerWith({ limitBytes: pages(10) }, {});
    const [a, b] = [open(ledger), open(ledger, 2, 1001)];
    expect(ledger.reserve(a.session, asking(a, 1, 8), at(0))).toEqual([
      { kind: 'promised', session: a.session, promise: 1n, bytes: pages(8) },
    ]);
    expect(ledger.pool()).toMatchObject({ usedBytes: 0n, promisedBytes: pages(8) });
    expect(ledger.session(a.session)).toMatchObject({ promisedBytes: pages(8), promiseCount: 1 });
    const tooMuch = () => ledger.requestGrant(a.session, request(2, [3]), at(0));
    expect(refused('TENANT_LIMIT', tooMuch).freeBytes).toBe(pages(2));
    const rest = refused('POOL_EXHAUSTED', () =>
      ledger.requestGrant(b.session, request(2, [9]), at(0)),
    );
    expect(rest).toMatchObject({ freeBytes: pages(8), askedBytes: pages(9) });
    expect(rest.message).toContain(`pool, of which ${pages(8)} is promised`);
    ledger.check();
  });

  test('is used at once, before all who wait, and charged then, not twice', () => {
    const ledger = ledgerOf({ sessionLimitBytes: pages(8) });
    const [a, b] = [open(ledger), open(ledger, 2)];
    ledger.reserve(a.session, asking(a, 1, 8), at(0));
    hold(ledger, b.session, 9, 8);
    ledger.requestGrant(b.session, request(2, [1], 0, 5_000), at(1));
    // Its own limit has nothing left beside the promise either.
    refused('QUOTA_EXHAUSTED', () => ledger.requestGrant(a.session, request(2, [1]), at(1)));
    expect(granted(draw(ledger, a, 3, 1, 5))).toEqual([`${a.session}:3 1 1 1 1 1`]);
    expect(ledger.session(a.session)).toMatchObject({
      heldBytes: pages(5),
      promisedBytes: pages(3),
    });
    ledger.grantSettled(a.session, promise(3), 5, at(11));
    const more = refused('INVALID_ARGUMENT', () => draw(ledger, a, 4, 1, 4));
    expect(more).toMatchObject({ field: 'order_counts', freeBytes: pages(3) });
    expect(more.message).toContain(`at most ${pages(3)} bytes, what is left of promise 1`);
    expect(granted(draw(ledger, a, 4, 1, 3))).toHaveLength(1);
    ledger.check();
  });

  test('of which a draw did not arrive is promised again, unless it has ended', () => {
    const ledger = ledgerOf();
    const a = open(ledger);
    ledger.reserve(a.session, asking(a, 1, 8), at(0));
    draw(ledger, a, 2, 1, 5);
    ledger.grantSettled(a.session, promise(2), 2, at(11));
    expect(ledger.session(a.session)).toMatchObject({
      heldBytes: pages(2),
      promisedBytes: pages(6),
    });
    draw(ledger, a, 3, 1, 6);
    keep(ledger, a, 1, 0);
    ledger.grantSettled(a.session, promise(3), 0, at(12));
    expect(ledger.pool()).toMatchObject({ usedBytes: pages(2), promisedBytes: 0n });
    ledger.check();
  });

  test('shrinks, never grows, and ends with nothing; who waits is served', () => {
    const ledger = ledgerOf({ sessionLimitBytes: pages(16) });
    const [a, b] = [open(ledger), open(ledger, 2)];
    ledger.reserve(a.session, asking(a, 1, 8), at(0));
    ledger.reserve(a.session, asking(a, 2, 8), at(0));
    ledger.requestGrant(b.session, request(1, [3], 0, 5_000), at(1));
    expect(keep(ledger, a, 1, 9)).toEqual([]);
    expect(ledger.pool().promisedBytes).toBe(pages(16));
    expect(granted(keep(ledger, a, 1, 5))).toEqual([`${b.session}:1 1 1 1`]);
    keep(ledger, a, 1, 0);
    refused('PROMISE_UNKNOWN', () => keep(ledger, a, 1, 0));
    refused('PROMISE_UNKNOWN', () => draw(ledger, a, 7, 1, 1));
    expect(ledger.session(a.session)).toMatchObject({ promiseCount: 1, promisedBytes: pages(8) });
  });

  test('lapses unless it is used or renewed; who waits is served', () => {
    const ledger = ledgerOf({ sessionLimitBytes: pages(16) });
    const [a, b] = [open(ledger), open(ledger, 2)];
    for (const id of [1, 2]) ledger.reserve(a.session, asking(a, id, 8), at(0));
    ledger.requestGrant(b.session, request(1, [1], 0, 9_000), at(0));
    keep(ledger, a, 2, 8, 900);
    expect(ledger.nextExpiry()).toBeLessThanOrEqual(1_000);
    const effects = ledger.expire(at(1_000));
    expect(effects[0]).toEqual({
      kind: 'cut',
      session: a.session,
      promise: 1n,
      leftBytes: 0n,
      reason: 'lapsed',
    });
    expect(granted(effects)).toEqual([`${b.session}:1 1`]);
    expect(ledger.expire(at(1_899)).filter(({ kind }) => kind === 'cut')).toEqual([]);
    expect(ledger.expire(at(1_900))).toHaveLength(1);
    expect(ledger.pool().promisedBytes).toBe(0n);
    expect(ledger.nextExpiry()).toBeNull();
  });

  test('that lapses is there for who waits until then, however late that is looked at', () => {
    const ledger = ledgerOf({ sessionLimitBytes: pages(16) });
    const [a, b] = [open(ledger), open(ledger, 2)];
    for (const id of [1, 2]) ledger.reserve(a.session, asking(a, id, 8), at(0));
    ledger.requestGrant(b.session, request(1, [1], 0, 1_100), at(0));
    // The daemon was held up: both times are over by now, but the memory came free first.
    expect(granted(ledger.expire(at(1_200)))).toEqual([`${b.session}:1 1`]);
    ledger.check();
  });

  test('that lapses is no longer in the way of its own session', () => {
    const ledger = ledgerOf({ sessionLimitBytes: pages(8) });
    const a = open(ledger);
    ledger.reserve(a.session, asking(a, 1, 8), at(0));
    // Its own limit keeps it waiting, so that nobody else could help.
    ledger.requestGrant(a.session, request(2, [1], 0, 5_000), at(0));
    expect(granted(ledger.expire(at(1_000)))).toEqual([`${a.session}:2 1`]);
    ledger.check();
  });

  test('ends with its connection, though its process may hold memory on', () => {
    const ledger = ledgerOf();
    const a = open(ledger);
    ledger.reserve(a.session, asking(a, 1, 8), at(0));
    draw(ledger, a, 2, 1, 2);
    ledger.grantSettled(a.session, promise(2), 2, at(11));
    ledger.sessionClosed(a.session, at(12));
    expect(ledger.pool()).toMatchObject({ usedBytes: pages(2), promisedBytes: 0n });
    ledger.check();
  });

  test('waits in line as a grant does, is cancelled as one, and asks others to give back', () => {
    const ledger = ledgerOf();
    const [a, b] = [open(ledger), open(ledger, 2)];
    const ids = hold(ledger, b.session, 1, 12);
    const waiting = asking(a, 1, 8, { waitMs: 1_000 });
    const effects = ledger.reserve(a.session, waiting, at(0));
    expect(reclaims(effects)).toMatchObject([{ session: b.session, wantedBytes: pages(4) }]);
    expect(ledger.cancelGrant(a.session, promise(1), at(1)).cancelled).toBe(true);
    ledger.reserve(a.session, waiting, at(2));
    const met = ledger.returnExtents(b.session, ids.slice(0, 4), at(3)).effects;
    expect(met).toMatchObject([{ kind: 'promised', promise: 1n, bytes: pages(8) }]);
  });
});

describe('what a guarantee needs', () => {
  test('is cut from promises that borrow, the latest first, and no more than that', () => {
    const ledger = ledgerWith({ guaranteedBytes: pages(6) }, { guaranteedBytes: pages(4) });
    const [owner, borrower] = [open(ledger), open(ledger, 2, 1001)];
    for (const id of [1, 2]) ledger.reserve(borrower.session, asking(borrower, id, 7), at(id));
    const effects = ledger.requestGrant(owner.session, request(1, [5]), at(5));
    expect(effects[0]).toMatchObject({ kind: 'cut', promise: 2n, leftBytes: pages(4) });
    expect(granted(effects)).toHaveLength(1);
    expect(reclaims(effects)).toEqual([]);
    expect(ledger.session(borrower.session)).toMatchObject({ promisedBytes: pages(11) });
  });

  test('is cut only when it is enough; else what is held above is asked back first', () => {
    const ledger = ledgerWith({ guaranteedBytes: pages(8) }, {});
    const [owner, borrower] = [open(ledger), open(ledger, 2, 1001)];
    const ids = hold(ledger, borrower.session, 9, 10);
    ledger.reserve(borrower.session, asking(borrower, 1, 6), at(1));
    const before = ledger.pool().promisedBytes;
    refused('POOL_EXHAUSTED', () => ledger.requestGrant(owner.session, request(1, [8]), at(2)));
    expect(ledger.pool().promisedBytes).toBe(before);
    const waits = ledger.requestGrant(owner.session, request(1, [8], 0, 1_000), at(3));
    expect(reclaims(waits)).toMatchObject([{ wantedBytes: pages(2), idleOnly: false }]);
    expect(ledger.pool().promisedBytes).toBe(before);
    const { effects } = ledger.returnExtents(borrower.session, ids.slice(0, 2), at(4));
    expect(effects.map(({ kind }) => kind)).toEqual(['cut', 'grant']);
    ledger.check();
  });

  test('never cuts what a guarantee of its own covers, nor for who borrows', () => {
    const ledger = ledgerWith({ guaranteedBytes: pages(8) }, {});
    const [owner, borrower] = [open(ledger), open(ledger, 2, 1001)];
    ledger.reserve(owner.session, asking(owner, 1, 8), at(0));
    hold(ledger, borrower.session, 9, 8);
    refused('POOL_EXHAUSTED', () => ledger.requestGrant(borrower.session, request(1, [1]), at(1)));
    ledger.requestGrant(borrower.session, request(2, [1], 0, 300), at(2));
    ledger.expire(at(302));
    expect(ledger.session(owner.session).promisedBytes).toBe(pages(8));
  });

  test('and a lowered limit, or a guarantee that is held now, cut at once', () => {
    const ledger = ledgerWith({}, {});
    const a = open(ledger);
    for (const id of [1, 2]) ledger.reserve(a.session, asking(a, id, 8), at(0));
    const change = (changes: Partial<TenantChange>): Effect[] =>
      ledger.setTenant(
        {
          name: 't0',
          revision: ledger.tenants().revision,
          guaranteedBytes: pages(0),
          limitBytes: pages(16),
          weight: 1,
          held: false,
          ...changes,
        },
        at(1),
      );
    const cut = { kind: 'cut', promise: 2n, reason: 'entitlement' };
    expect(change({ limitBytes: pages(12) })).toMatchObject([{ ...cut, leftBytes: pages(4) }]);
    const held = change({ name: 't1', guaranteedBytes: pages(6), held: true });
    expect(held).toMatchObject([{ ...cut, leftBytes: pages(2) }]);
    ledger.check();
  });
});

describe('bad input', () => {
  test.each<[string, Partial<ReserveRequest>, string]>([
    ['no tokens', { tokens: 0 }, 'tokens_count'],
    ['fewer than none', { tokens: -1 }, 'tokens_count'],
    ['more than the cache has', { tokens: SLOT.maxTokens + 1 }, 'tokens_count'],
    ['part of one', { tokens: 1.5 }, 'tokens_count'],
    ['more than any number', { tokens: 2 ** 60 }, 'tokens_count'],
    ['overread below zero', { overreadTokens: -1 }, 'overread_tokens_count'],
    ['part of a page mapped', { mappedBytes: 5n as never }, 'mapped_bytes'],
    ['all of it mapped', { mappedBytes: pages(1) }, 'mapped_bytes'],
    ['less than nothing mapped', { mappedBytes: pages(-1) }, 'mapped_bytes'],
    ['no number', { promise: 0n as never }, 'promise_id'],
    ['no time to lapse', { lapseMs: 0 }, 'lapse_ms'],
    ['for ever', { lapseMs: LAPSE_MS_MAX + 1 }, 'lapse_ms'],
    ['waiting backwards', { waitMs: -1 }, 'wait_ms'],
    ['an unknown cache', { cache: 99n as never }, 'cache_id'],
  ])('%s: refused, named, nothing changed', (_what, changes, field) => {
    const ledger = ledgerOf();
    const a = open(ledger);
    const before = snapshot(ledger);
    const code = field === 'cache_id' ? 'CACHE_UNKNOWN' : 'INVALID_ARGUMENT';
    const act = () => ledger.reserve(a.session, asking(a, 1, 1, changes), at(0));
    expect(refused(code, act).field).toBe(field);
    expect(snapshot(ledger)).toEqual(before);
  });

  test("another session's cache, a number in use, a promise that is not its own", () => {
    const ledger = ledgerOf();
    const [a, b] = [open(ledger), open(ledger, 2)];
    refused('CACHE_UNKNOWN', () => ledger.reserve(b.session, asking(a, 1, 1), at(0)));
    ledger.reserve(a.session, asking(a, 1, 1), at(0));
    refused('GRANT_DUPLICATE', () => ledger.reserve(a.session, asking(a, 1, 1), at(0)));
    refused('GRANT_DUPLICATE', () => ledger.requestGrant(a.session, request(1, [1]), at(0)));
    refused('PROMISE_UNKNOWN', () => draw(ledger, b, 2, 1, 1));
    for (const left of [-1n, 1n, 0.5 as never])
      expect(
        refused('INVALID_ARGUMENT', () =>
          ledger.keepPromise(a.session, promise(1), left as never, at(0)),
        ).field,
      ).toBe('left_bytes');
    expect(ledger.pool().promisedBytes).toBe(pages(1));
  });

  test('a session has so many and no more', () => {
    const ledger = ledgerOf({
      poolBytes: pages(PROMISES_PER_SESSION_MAX + 1),
      sessionLimitBytes: pages(PROMISES_PER_SESSION_MAX + 1),
    });
    const a = open(ledger);
    for (let id = 1; id <= PROMISES_PER_SESSION_MAX; id += 1)
      ledger.reserve(a.session, asking(a, id, 1), at(0));
    const one = () => ledger.reserve(a.session, asking(a, PROMISES_PER_SESSION_MAX + 1, 1), at(0));
    expect(refused('GRANT_LIMIT', one).message).toContain(`allowed: ${PROMISES_PER_SESSION_MAX}`);
  });
});
