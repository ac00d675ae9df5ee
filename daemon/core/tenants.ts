import { KvspanError, badField } from '../../proto/errors.js';
import { integerField, pagesField, TENANT_NAME_MAX, TENANTS_MAX, WEIGHT_MAX } from './limits.js';
import { bytes, type Bytes, type Limits, type Peer, type TenantSpec } from './types.js';
import type { TenantChange, TenantView } from './views.js';

/** Who is charged together. What it is entitled to may change at run time; who it is may not. */
export interface Tenant {
  readonly spec: TenantSpec;
  guaranteedBytes: Bytes;
  limitBytes: Bytes;
  weight: number;
  /** Its guarantee is never lent, so what is unused of it is always free. */
  held: boolean;
  /** Charged: the sum of its sessions' accounts. */
  heldBytes: bigint;
  /** Kept free for its sessions by promise. */
  promisedBytes: bigint;
  /** How often one of its sessions did not bring by the deadline what another's guarantee needed. */
  overdueCount: number;
}

type Entitlement = Pick<Tenant, 'guaranteedBytes' | 'limitBytes' | 'weight' | 'held'>;

/** Everybody's, when no tenants are configured: no guarantee, no limit but the pool. */
const defaultSpec = (poolBytes: Bytes): TenantSpec => ({
  name: 'default',
  everybody: true,
  uids: [],
  gids: [],
  memberUids: [],
  clients: [],
  guaranteedBytes: bytes(0n),
  limitBytes: poolBytes,
  weight: 1,
  held: false,
});

/** What it has of the pool, given out or promised: nobody else can have it. */
export const claimedBytes = ({ heldBytes, promisedBytes }: Tenant): bigint =>
  heldBytes + promisedBytes;

/** What it has above its guarantee: what others may take back. */
export const borrowedBytes = (tenant: Tenant): bigint => {
  const claimed = claimedBytes(tenant);
  return claimed > tenant.guaranteedBytes ? claimed - tenant.guaranteedBytes : 0n;
};

/** Of what it has borrowed, what is only promised: a guarantee takes that back without asking. */
export const cuttableBytes = (tenant: Tenant): bigint => {
  const borrowed = borrowedBytes(tenant);
  return borrowed < tenant.promisedBytes ? borrowed : tenant.promisedBytes;
};

/** What is kept free for it and nobody else, beside what it is promised. */
export const reservedBytes = (tenant: Tenant): bigint => {
  const claimed = claimedBytes(tenant);
  return tenant.held && tenant.guaranteedBytes > claimed ? tenant.guaranteedBytes - claimed : 0n;
};

/** True if it may take this much more as its own, whatever others have borrowed. */
export const isGuaranteed = (tenant: Tenant, more: bigint): boolean =>
  claimedBytes(tenant) + more <= tenant.guaranteedBytes;

/** The tenants of one device, in the order of the configuration. */
export class TenantTable {
  private readonly all: readonly Tenant[];
  private readonly poolBytes: Bytes;
  /** Of all entitlements together, because their sum is checked: grows with every change. */
  revision = 1n;

  constructor({ poolBytes, tenants }: Pick<Limits, 'poolBytes' | 'tenants'>) {
    const specs = tenants.length > 0 ? tenants : [defaultSpec(poolBytes)];
    checkNames(specs);
    this.poolBytes = poolBytes;
    this.all = specs.map(tenantOf);
    for (const tenant of this.all)
      this.checkEntitlement(tenant, tenant, `tenants.${tenant.spec.name}.`);
  }

  get count(): number {
    return this.all.length;
  }

  [Symbol.iterator](): IterableIterator<Tenant> {
    return this.all.values();
  }

  /**
   * Whose the peer is: of the tenants that its user, else its group, else everybody belongs to, one
   * that also names the client wins. Throws TENANT_UNKNOWN.
   */
  of(peer: Peer): Tenant {
    const ranks: ((spec: TenantSpec) => boolean)[] = [
      spec => spec.uids.includes(peer.uid),
      spec => spec.gids.includes(peer.gid) || spec.memberUids.includes(peer.uid),
      spec => spec.everybody,
    ];
    for (const belongs of ranks) {
      const among = this.all.filter(({ spec }) => belongs(spec));
      const named = among.find(({ spec }) => spec.clients.includes(peer.name));
      const found = named ?? among.find(({ spec }) => spec.clients.length === 0);
      if (found !== undefined) return found;
    }
    throw new KvspanError(
      'TENANT_UNKNOWN',
      `tenant: user ${peer.uid}, group ${peer.gid}, client "${peer.name}" belongs to none of ` +
        this.all.map(({ spec }) => spec.name).join(', '),
      { field: 'tenant' },
    );
  }

  /** Throws, and changes nothing, if the revision is not the present one or the change cannot be kept. */
  change(change: TenantChange): Tenant {
    const tenant = this.all.find(({ spec }) => spec.name === change.name);
    if (tenant === undefined) {
      const known = this.all.map(({ spec }) => spec.name).join(', ');
      throw new KvspanError('TENANT_UNKNOWN', `name: no tenant "${change.name}", known: ${known}`, {
        field: 'name',
      });
    }
    if (change.revision !== this.revision) {
      throw new KvspanError(
        'REVISION_STALE',
        `revision: got ${String(change.revision)}, the tenants are at ${this.revision}: read them again`,
        { field: 'revision' },
      );
    }
    this.checkEntitlement(change, tenant, '');
    tenant.guaranteedBytes = change.guaranteedBytes;
    tenant.limitBytes = change.limitBytes;
    tenant.weight = change.weight;
    tenant.held = change.held;
    this.revision += 1n;
    return tenant;
  }

  /** What is kept free for all of them together. */
  get reservedBytes(): bigint {
    return this.all.reduce((total, tenant) => total + reservedBytes(tenant), 0n);
  }

  /** What is kept free for others than this one. */
  reservedFromOthers(tenant: Tenant): bigint {
    let total = 0n;
    for (const other of this.all) if (other !== tenant) total += reservedBytes(other);
    return total;
  }

  /** The most of the pool that it could ever have: all but what others' guarantees hold. */
  reachableBytes(tenant: Tenant): bigint {
    let total: bigint = this.poolBytes;
    for (const other of this.all) {
      if (other !== tenant && other.held) total -= other.guaranteedBytes;
    }
    return total;
  }

  private checkEntitlement(wanted: Entitlement, tenant: Tenant, prefix: string): void {
    const { guaranteedBytes, limitBytes, weight } = wanted;
    pagesField(`${prefix}guaranteed_bytes`, guaranteedBytes, 0n);
    pagesField(`${prefix}limit_bytes`, limitBytes, 1n);
    integerField(`${prefix}weight`, weight, 1, WEIGHT_MAX);
    if (limitBytes < guaranteedBytes) {
      const allowed = `at least the guarantee, ${guaranteedBytes}`;
      throw badField(`${prefix}limit_bytes`, limitBytes, allowed);
    }
    let others = 0n;
    for (const other of this.all) if (other !== tenant) others += other.guaranteedBytes;
    if (others + guaranteedBytes <= this.poolBytes) return;
    const left = others < this.poolBytes ? this.poolBytes - others : 0n;
    const allowed = `at most ${left}: the pool has ${this.poolBytes}, the other guarantees are ${others}`;
    throw badField(`${prefix}guaranteed_bytes`, guaranteedBytes, allowed);
  }
}

function tenantOf(spec: TenantSpec): Tenant {
  const { guaranteedBytes, limitBytes, weight, held } = spec;
  return {
    spec,
    guaranteedBytes,
    limitBytes,
    weight,
    held,
    heldBytes: 0n,
    promisedBytes: 0n,
    overdueCount: 0,
  };
}

function checkNames(specs: readonly TenantSpec[]): void {
  if (specs.length > TENANTS_MAX)
    throw badField('tenants', `${specs.length} tenants`, `at most ${TENANTS_MAX}`);
  const seen = new Set<string>();
  for (const { name } of specs) {
    if (!/^[a-zA-Z0-9._-]+$/.test(name) || name.length > TENANT_NAME_MAX)
      throw badField(
        'tenants.name',
        name,
        `1..${TENANT_NAME_MAX} of letters, digits, ".", "_", "-"`,
      );
    if (seen.has(name)) throw badField('tenants.name', name, 'each name once');
    seen.add(name);
  }
}

/** What its sessions, all of them, make of it. */
interface OfTenant {
  readonly heldBytes: bigint;
  readonly evicted: boolean;
  readonly waiting: readonly unknown[];
}

export function tenantView(tenant: Tenant, own: readonly OfTenant[]): TenantView {
  const { spec, guaranteedBytes, limitBytes, weight, held } = tenant;
  const { heldBytes, promisedBytes, overdueCount } = tenant;
  return {
    name: spec.name,
    guaranteedBytes,
    limitBytes,
    weight,
    held,
    heldBytes: bytes(heldBytes),
    promisedBytes: bytes(promisedBytes),
    borrowedBytes: bytes(borrowedBytes(tenant)),
    evictedBytes: bytes(own.reduce((total, one) => total + (one.evicted ? one.heldBytes : 0n), 0n)),
    sessionCount: own.length,
    waitingGrantCount: own.reduce((total, { waiting }) => total + waiting.length, 0),
    overdueCount,
  };
}
