import { describe, expect, test } from 'vitest';
import { RECLAIM_DEADLINE_MS } from '../../daemon/core/limits.js';
import type { Ledger, TenantChange } from '../../daemon/core/ledger.js';
import type { Effect, SessionId, TenantSpec } from '../../daemon/core/types.js';
import {
  at,
  granted,
  hold,
  ledgerOf,
  pages,
  peer,
  reclaims,
  refusals,
  refused,
  request,
  ledgerWith,
  tenant,
} from './support.js';

/** A session of the tenant with this index. */
function open(ledger: Ledger, index: number, pid = 10 + index): SessionId {
  return ledger.openSession({ ...peer(pid), uid: 1000 + index }, at(0));
}

const asked = (effects: readonly Effect[]): [bigint, bigint][] =>
  reclaims(effects).map(({ session, wantedBytes }) => [session, wantedBytes / pages(1)]);

describe('who belongs to which tenant', () => {
  const ledger = ledgerOf({
    tenants: [
      tenant(0, { clients: ['chat'] }),
      tenant(0, { name: 'rest' }),
      tenant(1, { name: 'group', uids: [], gids: [500] }),
      tenant(2, { name: 'all', uids: [], everybody: true }),
    ],
  });
  test.each([
    ['t0', 1000, 500, 'chat'],
    ['rest', 1000, 500, 'other'],
    ['group', 1, 500, 'chat'],
    ['all', 1, 1, 'chat'],
  ])('%s: user %i, group %i, client %s', (name, uid, gid, client) => {
    const id = ledger.openSession({ pid: 1, uid, gid, name: client }, at(0));
    expect(ledger.session(id).tenant).toBe(name);
  });

  test('nobody of no tenant is let in, and is told which there are', () => {
    const error = refused('TENANT_UNKNOWN', () => open(ledgerWith({}, {}), 7));
    expect(error.message).toBe(
      'tenant: user 1007, group 1000, client "engine-17" belongs to none of t0, t1',
    );
  });
});

describe('what is wrong with tenants', () => {
  test.each<[string, Partial<TenantSpec>[], string]>([
    [
      'guarantees above the pool',
      [{ guaranteedBytes: pages(10) }, { guaranteedBytes: pages(7) }],
      'tenants.t0.guaranteed_bytes',
    ],
    [
      'a limit under the guarantee',
      [{ guaranteedBytes: pages(5), limitBytes: pages(4) }],
      'tenants.t0.limit_bytes',
    ],
    ['no weight', [{ weight: 0 }], 'tenants.t0.weight'],
    ['a name twice', [{ name: 'x' }, { name: 'x' }], 'tenants.name'],
    ['no name', [{ name: '' }], 'tenants.name'],
  ])('%s', (_what, specs, field) => {
    expect(refused('INVALID_ARGUMENT', () => ledgerWith(...specs)).field).toBe(field);
  });
});

describe('a limit', () => {
  test('is never passed: at once, by waiting, by adopting; the error has the numbers', () => {
    const ledger = ledgerWith({ limitBytes: pages(6) }, {});
    const [a, b] = [open(ledger, 0), open(ledger, 0, 50)];
    hold(ledger, a, 1, 4);
    const error = refused('TENANT_LIMIT', () => ledger.requestGrant(b, request(1, [3]), at(0)));
    expect(error).toMatchObject({
      askedBytes: pages(3),
      freeBytes: pages(2),
      limitBytes: pages(6),
      retryable: true,
    });
    expect(error.message).toContain(`tenant t0, which holds ${pages(4)}`);
    refused('TENANT_LIMIT', () => ledger.requestGrant(b, request(1, [7], 0, 100), at(0)));
    refused('TENANT_LIMIT', () => ledger.adopt(b, [{ id: 9n as never, order: 2 }], at(0)));
    ledger.requestGrant(b, request(2, [3], 0, 100), at(0));
    expect(refusals(ledger.expire(at(100)))[0]?.error.code).toBe('TENANT_LIMIT');
  });

  test('keeps only its own tenant waiting, and what that returns ends it', () => {
    const ledger = ledgerWith({ limitBytes: pages(6) }, {});
    const [a, b, other] = [open(ledger, 0), open(ledger, 0, 50), open(ledger, 1)];
    const [first] = hold(ledger, a, 1, 6);
    // Only what its own tenant has could help.
    expect(asked(ledger.requestGrant(b, request(1, [1], 0, 100), at(0)))).toEqual([[a, 1n]]);
    expect(granted(ledger.requestGrant(other, request(1, [4]), at(0)))).toEqual(['3:1 1 1 1 1']);
    expect(granted(ledger.returnExtents(a, [first as never], at(1)).effects)).toEqual(['2:1 1']);
  });
});

describe('a guarantee', () => {
  test('that is lent is met by taking back what others borrowed', () => {
    const ledger = ledgerWith({ guaranteedBytes: pages(6) }, { guaranteedBytes: pages(2) });
    const [owner, borrower] = [open(ledger, 0), open(ledger, 1)];
    const ids = hold(ledger, borrower, 1, 16);
    const effects = ledger.requestGrant(owner, request(1, [6], 0, 1_000), at(0));
    expect(asked(effects)).toEqual([[borrower, 6n]]);
    const back = ledger.returnExtents(borrower, ids.slice(0, 6), at(10));
    expect(granted(back.effects)).toEqual([`${owner}:1 1 1 1 1 1 1`]);
  });

  test('that is held is never lent, and is met at once', () => {
    const ledger = ledgerWith({ guaranteedBytes: pages(6), held: true }, {});
    const [owner, borrower] = [open(ledger, 0), open(ledger, 1)];
    hold(ledger, borrower, 1, 10);
    const error = refused('POOL_EXHAUSTED', () =>
      ledger.requestGrant(borrower, request(2, [1]), at(0)),
    );
    expect(error.freeBytes).toBe(0n);
    expect(
      refused('POOL_EXHAUSTED', () => ledger.requestGrant(borrower, request(3, [11]), at(0)))
        .message,
    ).toContain('held for others');
    ledger.requestGrant(borrower, request(2, [1], 0, 1_000), at(0));
    expect(granted(ledger.requestGrant(owner, request(1, [6]), at(0)))).toEqual([
      `${owner}:1 1 1 1 1 1 1`,
    ]);
  });

  test('goes before who borrows, but with no more than the guarantee', () => {
    const ledger = ledgerWith({ guaranteedBytes: pages(4) }, {}, {});
    const [owner, first, second] = [open(ledger, 0), open(ledger, 1), open(ledger, 2)];
    const ids = hold(ledger, first, 1, 16);
    ledger.requestGrant(second, request(1, [2], 0, 1_000), at(0));
    ledger.requestGrant(owner, request(1, [8], 1, 1_000), at(1));
    const { effects } = ledger.returnExtents(first, ids.slice(0, 6), at(2));
    expect(granted(effects)).toEqual([`${owner}:1 1 1 1 1`, `${second}:1 1 1`]);
  });
});

describe('among those who borrow', () => {
  test('the lowest share of its weight is next', () => {
    const ledger = ledgerWith({ weight: 3 }, { weight: 1 }, {});
    const [heavy, light, holder] = [open(ledger, 0), open(ledger, 1), open(ledger, 2)];
    hold(ledger, heavy, 1, 5);
    hold(ledger, light, 1, 2);
    const ids = hold(ledger, holder, 1, 9);
    ledger.requestGrant(light, request(2, [1], 0, 1_000), at(0));
    ledger.requestGrant(heavy, request(2, [1], 0, 1_000), at(1));
    // 5 of weight 3 are less than 2 of weight 1.
    const { effects } = ledger.returnExtents(holder, ids.slice(0, 1), at(2));
    expect(granted(effects)).toEqual([`${heavy}:2 1`]);
  });

  test('those furthest above their share are asked, down to the level of the asker', () => {
    const ledger = ledgerWith({ weight: 2 }, { weight: 1 }, {});
    const [heavy, light, asker] = [open(ledger, 0), open(ledger, 1), open(ledger, 2)];
    hold(ledger, heavy, 1, 8);
    hold(ledger, light, 1, 8);
    const effects = ledger.requestGrant(asker, request(1, [3], 0, 1_000), at(0));
    expect(asked(effects)).toEqual([[light, 3n]]);
  });

  test('who has no more than the asker would have is asked only for what lies idle', () => {
    const ledger = ledgerWith({}, {});
    const [a, b] = [open(ledger, 0), open(ledger, 1)];
    hold(ledger, a, 1, 8);
    hold(ledger, b, 1, 8);
    const effects = ledger.requestGrant(a, request(2, [1], 0, 1_000), at(0));
    expect(reclaims(effects)).toMatchObject([
      { session: b, wantedBytes: pages(1), idleOnly: true },
    ]);
  });
});

function owed(): { ledger: Ledger; owner: SessionId; late: SessionId; effects: Effect[] } {
  const ledger = ledgerWith({ guaranteedBytes: pages(4) }, {}, {});
  const [owner, late] = [open(ledger, 0), open(ledger, 1)];
  hold(ledger, late, 1, 16);
  ledger.requestGrant(owner, request(1, [4], 0, 1_000), at(0));
  expect(ledger.nextExpiry()).toBe(RECLAIM_DEADLINE_MS);
  return { ledger, owner, late, effects: ledger.expire(at(RECLAIM_DEADLINE_MS)) };
}

describe('who does not bring what a guarantee needs', () => {
  test('is recorded, asked again, and named when the grant is refused', () => {
    const { ledger, late, effects } = owed();
    expect(effects[0]).toMatchObject({ kind: 'overdue', session: late, missingBytes: pages(4) });
    expect(asked(effects)).toEqual([[late, 4n]]);
    expect(ledger.session(late)).toMatchObject({ overdueCount: 1, servedLast: true });
    expect(ledger.tenants().tenants[1]).toMatchObject({ name: 't1', overdueCount: 1 });
    // Asked in vain again and again it is one record, not one a round.
    const again = ledger.expire(at(2 * RECLAIM_DEADLINE_MS));
    expect(again.map(({ kind }) => kind)).toEqual(['reclaim']);
    expect(ledger.session(late).overdueCount).toBe(1);
    const [refusal] = refusals(ledger.expire(at(1_000)));
    expect(refusal?.error.message).toContain(
      `not given back in time by session ${late} (pid 11) ${pages(4)}`,
    );
  });

  test('is served last until it has', () => {
    const ledger = ledgerWith({ guaranteedBytes: pages(4) }, {}, {});
    const [owner, late, holder] = [open(ledger, 0), open(ledger, 1), open(ledger, 2)];
    const owed = hold(ledger, late, 1, 10);
    const ids = hold(ledger, holder, 1, 6);
    ledger.requestGrant(owner, request(1, [4], 0, 1_000), at(0));
    ledger.expire(at(RECLAIM_DEADLINE_MS));
    ledger.cancelGrant(owner, 1n as never, at(300));
    // With this weight its share is the lowest by far, and it asks first: but it owes.
    const weight = { name: 't1', revision: 1n, weight: 100, held: false };
    ledger.setTenant({ ...weight, guaranteedBytes: pages(0), limitBytes: pages(16) }, at(300));
    ledger.requestGrant(late, request(2, [1], 0, 5_000), at(300));
    const third = open(ledger, 2, 60);
    ledger.requestGrant(third, request(1, [1], 0, 5_000), at(301));
    expect(granted(ledger.returnExtents(holder, ids.slice(0, 1), at(302)).effects)).toEqual([
      `${third}:1 1`,
    ]);
    // What it owed came down to 6 pages; what it waits for is met out of that.
    expect(granted(ledger.returnExtents(late, owed.slice(0, 4), at(303)).effects)).toEqual([
      `${late}:2 1`,
    ]);
    expect(ledger.session(late)).toMatchObject({ overdueCount: 1, servedLast: false });
  });
});

const change = (changes: Partial<TenantChange> = {}): TenantChange => ({
  name: 't0',
  revision: 1n,
  guaranteedBytes: pages(2),
  limitBytes: pages(16),
  weight: 1,
  held: false,
  ...changes,
});

describe('entitlements', () => {
  test.each<[string, Partial<TenantChange>, string]>([
    ['of nobody', { name: 'x' }, 'TENANT_UNKNOWN'],
    ['based on what is old', { revision: 0n }, 'REVISION_STALE'],
    ['above the pool', { guaranteedBytes: pages(12), limitBytes: pages(12) }, 'INVALID_ARGUMENT'],
    ['limited under the guarantee', { limitBytes: pages(1) }, 'INVALID_ARGUMENT'],
    ['without weight', { weight: 0 }, 'INVALID_ARGUMENT'],
    ['below zero', { guaranteedBytes: pages(-1) }, 'INVALID_ARGUMENT'],
    ['not of whole pages', { limitBytes: 1_000n as never }, 'INVALID_ARGUMENT'],
  ])('%s are refused and change nothing', (_what, changes, code) => {
    const ledger = ledgerWith({}, { guaranteedBytes: pages(5) });
    const before = ledger.tenants();
    refused(code as never, () => ledger.setTenant(change(changes), at(0)));
    expect(ledger.tenants()).toEqual(before);
  });

  test('take effect at once: who waits is served by a higher limit, refused by a lower one', () => {
    const ledger = ledgerWith({ limitBytes: pages(4) }, {});
    const session = open(ledger, 0);
    hold(ledger, session, 1, 4);
    ledger.requestGrant(session, request(2, [2], 0, 1_000), at(0));
    const more = ledger.setTenant(change({ limitBytes: pages(6) }), at(1));
    expect(granted(more)).toEqual([`${session}:2 1 1`]);
    expect(ledger.tenants().revision).toBe(2n);
    ledger.requestGrant(session, request(3, [3], 0, 1_000), at(2));
    const less = ledger.setTenant(change({ revision: 2n, limitBytes: pages(2) }), at(3));
    expect(refusals(less)[0]?.error.code).toBe('TENANT_LIMIT');
    expect(ledger.session(session).heldBytes).toBe(pages(6));
  });

  test('that become a guarantee are taken back for who waits', () => {
    const ledger = ledgerWith({}, {});
    const [owner, borrower] = [open(ledger, 0), open(ledger, 1)];
    hold(ledger, borrower, 1, 16);
    ledger.requestGrant(owner, request(1, [9], 0, 1_000), at(0));
    const effects = ledger.setTenant(change({ guaranteedBytes: pages(9) }), at(300));
    expect(asked(effects)).toEqual([[borrower, 9n]]);
  });
});
