/** Tenants in the simulation: how they are drawn, and what must hold of them after each operation. */
import type { Ledger } from '../../daemon/core/ledger.js';
import type { TenantSpec } from '../../daemon/core/types.js';
import { fail, same } from './compare.js';
import type { ModelTenant } from './model-types.js';
import type { Prng } from './prng.js';
import type { ReferenceModel } from './reference-model.js';
import { pages } from './support.js';

export const FIRST_UID = 1000;

/** None in every third run; else two or three, of whom the last may be everybody's. */
export function drawTenants(prng: Prng, pool: number): TenantSpec[] {
  if (prng.chance(0.33)) return [];
  const count = prng.between(2, 3);
  let left = pool;
  return Array.from({ length: count }, (_, index) => {
    const guaranteed = prng.chance(0.3) ? 0 : prng.between(0, Math.min(left, Math.ceil(pool / 2)));
    left -= guaranteed;
    const everybody = index === count - 1 && prng.chance(0.5);
    return {
      name: `t${index}`,
      everybody,
      uids: everybody ? [] : [FIRST_UID + index],
      gids: [],
      memberUids: [],
      clients: [],
      guaranteedBytes: pages(guaranteed),
      limitBytes: pages(prng.chance(0.4) ? pool : prng.between(Math.max(1, guaranteed), pool)),
      weight: prng.between(1, 4),
      held: prng.chance(0.4),
    };
  });
}

export function modelTenants(specs: readonly TenantSpec[], pool: number): ModelTenant[] {
  if (specs.length === 0)
    return [{ name: 'default', uid: null, guaranteed: 0, limit: pool, weight: 1, kept: false }];
  return specs.map(spec => ({
    name: spec.name,
    uid: spec.everybody ? null : (spec.uids[0] as number),
    guaranteed: Number(spec.guaranteedBytes / pages(1)),
    limit: Number(spec.limitBytes / pages(1)),
    weight: spec.weight,
    kept: spec.held,
  }));
}

/** Now and then of nobody, based on what is old, or more than can be kept. */
export function drawTenantChange(
  prng: Prng,
  model: ReferenceModel,
): { name: string; wanted: Omit<ModelTenant, 'name' | 'uid'>; stale: boolean } {
  const { tenants, poolPages } = model.limits;
  const tenant = prng.pick([...tenants]) as ModelTenant;
  const guaranteed = prng.below(Math.ceil(poolPages / tenants.length) + 1);
  const least = prng.chance(0.9) ? guaranteed : 0;
  const wanted = {
    guaranteed,
    limit: prng.chance(0.4) ? poolPages : prng.between(least, poolPages),
    weight: prng.chance(0.05) ? 0 : prng.between(1, 4),
    kept: prng.chance(0.4),
  };
  const name = prng.chance(0.05) ? 'nobody' : tenant.name;
  return { name, wanted, stale: prng.chance(0.1) };
}

interface TenantState {
  /** Or promised. */
  readonly held: ReadonlyMap<string, bigint>;
  /** What is missing of the guarantees that are never lent: not 0 only after a change of them. */
  readonly lentBytes: bigint;
}

export function tenantState(ledger: Ledger): TenantState {
  const { tenants } = ledger.tenants();
  let reserved = 0n;
  for (const { held, guaranteedBytes, heldBytes, promisedBytes } of tenants) {
    const claimed = heldBytes + promisedBytes;
    if (held && guaranteedBytes > claimed) reserved += guaranteedBytes - claimed;
  }
  const pool = ledger.pool();
  const freeBytes = pool.freeBytes - pool.promisedBytes;
  return {
    held: new Map(
      tenants.map(({ name, heldBytes, promisedBytes }) => [name, heldBytes + promisedBytes]),
    ),
    lentBytes: reserved > freeBytes ? reserved - freeBytes : 0n,
  };
}

/**
 * The accounts are the model's; nobody passes its limit, or goes further beyond one that was
 * lowered; of what is held nothing more is lent than before, and who it is held for does not wait.
 */
export function checkTenants(
  ledger: Ledger,
  model: ReferenceModel,
  before: TenantState,
  changed: boolean,
): void {
  const { tenants, revision } = ledger.tenants();
  same(
    'tenants',
    `${revision}: ${tenants
      .map(({ name, heldBytes, promisedBytes }) => `${name} ${heldBytes} ${promisedBytes}`)
      .join('; ')}`,
    `${model.revision}: ${model.limits.tenants
      .map(
        tenant =>
          `${tenant.name} ${pages(model.heldByTenant(tenant))} ${pages(model.promisedTo(tenant))}`,
      )
      .join('; ')}`,
  );
  for (const { name, heldBytes, promisedBytes, limitBytes } of tenants) {
    const claimed = heldBytes + promisedBytes;
    if (claimed > limitBytes && claimed > (before.held.get(name) ?? 0n))
      fail(`tenant ${name} takes ${claimed} bytes, above its limit of ${limitBytes}`);
  }
  const { lentBytes } = tenantState(ledger);
  if (!changed && lentBytes > before.lentBytes) fail(`${lentBytes} bytes that are held were lent`);
  const [head] = model.heads();
  if (head === undefined || lentBytes > 0n) return;
  if (model.tenantOf(head.session).kept && model.isCovered(head))
    fail(`grant ${head.grant} of session ${head.session} waits for what is held for it`);
}
