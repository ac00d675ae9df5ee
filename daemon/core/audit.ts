import { KvspanError } from '../../proto/errors.js';
import type { CacheBook } from './caches.js';
import type { Pool } from './pool.js';
import type { Session, SessionTable } from './sessions.js';
import type { TenantTable } from './tenants.js';
import type { Limits } from './types.js';

export interface Audited {
  readonly limits: Limits;
  readonly pool: Pool;
  readonly sessions: SessionTable;
  readonly caches: CacheBook;
  readonly tenants: TenantTable;
}

/** Adds everything up again from the single extents and ranges; throws INTERNAL where the books differ. */
export function audit({ limits, pool, sessions, caches, tenants }: Audited): void {
  const all = [...sessions];
  for (const session of all) auditSession(session, pool);
  const held = all.reduce((total, session) => total + session.heldBytes, 0n);
  const count = all.reduce((total, session) => total + session.extents.size, 0);
  expect(
    held === pool.usedBytes,
    `sessions hold ${held} bytes, the pool has ${pool.usedBytes} in use`,
  );
  expect(
    count === pool.extents.count,
    `sessions hold ${count} extents, the table has ${pool.extents.count}`,
  );
  expect(
    pool.usedBytes <= pool.totalBytes,
    `${pool.usedBytes} of ${pool.totalBytes} bytes are in use`,
  );
  const balance = pool.grantedBytes + pool.adoptedBytes - pool.returnedBytes;
  expect(
    balance === pool.usedBytes,
    `${balance} bytes never came back, the pool has ${pool.usedBytes} in use`,
  );
  const promised = all.reduce((total, session) => total + session.promisedBytes, 0n);
  expect(
    promised === pool.promisedBytes && pool.unpromisedBytes >= 0n,
    `sessions are promised ${promised} bytes, the pool has ${pool.promisedBytes} promised and ` +
      `${pool.usedBytes} of ${pool.totalBytes} in use`,
  );
  auditTenants(all, tenants);
  auditAddresses(all, caches, limits);
}

function auditTenants(sessions: readonly Session[], tenants: TenantTable): void {
  let guaranteed = 0n;
  for (const tenant of tenants) {
    const own = sessions.filter(session => session.tenant === tenant);
    const held = own.reduce((total, session) => total + session.heldBytes, 0n);
    expect(
      held === tenant.heldBytes,
      `tenant ${tenant.spec.name}: its sessions hold ${held}, its account says ${tenant.heldBytes}`,
    );
    const promised = own.reduce((total, session) => total + session.promisedBytes, 0n);
    expect(
      promised === tenant.promisedBytes,
      `tenant ${tenant.spec.name}: its sessions are promised ${promised}, ` +
        `its account says ${tenant.promisedBytes}`,
    );
    guaranteed += tenant.guaranteedBytes;
  }
  expect(
    guaranteed === 0n ||
      [...tenants].every(({ limitBytes, guaranteedBytes }) => limitBytes >= guaranteedBytes),
    'a tenant is guaranteed more than its limit',
  );
}

function auditSession(session: Session, pool: Pool): void {
  const name = `session ${session.id}`;
  let held = 0n;
  for (const extent of session.extents) {
    held += extent.bytes;
    expect(pool.extents.has(extent.id), `${name}: extent ${extent.id} is not in the table`);
    expect(
      extent.grant === null || session.inFlight.get(extent.grant.id) === extent.grant,
      `${name}: extent ${extent.id} is of no grant`,
    );
    expect(
      !extent.returned || extent.grant !== null,
      `${name}: extent ${extent.id} was returned and is charged`,
    );
  }
  expect(
    held === session.heldBytes,
    `${name}: its extents are ${held} bytes, its account says ${session.heldBytes}`,
  );
  const promised = [...session.promises.values()].reduce((sum, one) => sum + one.bytes, 0n);
  expect(
    promised === session.promisedBytes && (session.state === 'open' || promised === 0n),
    `${name}: is ${session.state}, its promises are ${promised} bytes, ` +
      `its account says ${session.promisedBytes}`,
  );
  expect(
    (session.state === 'open' && !session.evicted) || session.waiting.length === 0,
    `${name}: is ${session.state} and waits`,
  );
  expect(
    session.state !== 'exited' || session.inFlight.size > 0,
    `${name}: has exited and is remembered`,
  );
}

function auditAddresses(sessions: readonly Session[], caches: CacheBook, limits: Limits): void {
  const all = sessions.flatMap(session => [...session.caches.values()]);
  expect(all.length === caches.count, `${all.length} caches, the book has ${caches.count}`);
  const plans = all.filter(cache => cache.planned).map(cache => cache.plan);
  plans.sort((a, b) => (a.baseAddress < b.baseAddress ? -1 : 1));
  let [end, taken]: [bigint, bigint] = [limits.addressPlanBase, 0n];
  for (const plan of plans) {
    expect(
      plan.baseAddress >= end,
      `the cache at ${plan.baseAddress} overlaps what ends at ${end}`,
    );
    end = plan.baseAddress + plan.totalBytes;
    taken += plan.totalBytes;
  }
  expect(
    end <= limits.addressPlanBase + limits.addressPlanBytes,
    `a cache ends at ${end}, past the plan`,
  );
  const { freeBytes } = caches.addresses;
  expect(
    taken + freeBytes === limits.addressPlanBytes,
    `${taken} bytes of addresses taken and ${freeBytes} free are not the plan`,
  );
  caches.addresses.check();
}

function expect(holds: boolean, otherwise: string): void {
  if (!holds) throw new KvspanError('INTERNAL', `ledger: ${otherwise}`);
}
