import { KvspanError, badField } from '../../proto/errors.js';
import { AddressPlan, checkBase } from './address-plan.js';
import { checkGeometry, planSizes } from './geometry.js';
import { ADDRESS_END, CACHE_NAME_MAX } from './limits.js';
import type { Session } from './sessions.js';
import {
  PAGE_BYTES,
  address,
  cacheId,
  type Address,
  type Bytes,
  type CacheGeometry,
  type CacheId,
  type CachePlan,
  type Limits,
} from './types.js';
import type { CacheView } from './views.js';

export interface Cache {
  readonly id: CacheId;
  readonly session: Session;
  readonly name: string;
  readonly geometry: CacheGeometry;
  plan: CachePlan;
  /** False: its client took addresses outside the plan, so it has none of the plan's. */
  planned: boolean;
}

/** The caches of all sessions and the addresses they have. */
export class CacheBook {
  readonly addresses: AddressPlan;
  private lastId = 0n;
  private total = 0;

  constructor(private readonly limits: Limits) {
    this.addresses = new AddressPlan(limits.addressPlanBase, limits.addressPlanBytes);
  }

  get count(): number {
    return this.total;
  }

  /**
   * `leftBehind`: sessions of the same process that have ended. If one of their caches has exactly the
   * wanted range, this is that cache again and takes the range over from it; the caller is told of
   * the session that lost it by `takenFrom`.
   */
  create(
    session: Session,
    geometry: CacheGeometry,
    name: string,
    wanted: Address,
    leftBehind: readonly Session[] = [],
  ): { cache: Cache; takenFrom: Session | null } {
    checkGeometry(geometry);
    checkName(name);
    checkBase('wanted_base_address', wanted);
    const { cachesPerSessionMax } = this.limits;
    if (session.caches.size >= cachesPerSessionMax) {
      throw new KvspanError(
        'CACHE_LIMIT',
        `caches: session ${session.id} has ${session.caches.size}, allowed: ${cachesPerSessionMax}`,
      );
    }
    const sizes = planSizes(geometry);
    const former = this.formerOf(session, leftBehind, wanted, sizes.totalBytes);
    const baseAddress =
      former === null ? this.addresses.allocate(sizes.totalBytes, wanted) : wanted;
    const cache = {
      id: cacheId(++this.lastId),
      session,
      name,
      geometry: { ...geometry },
      plan: { baseAddress, ...sizes },
      planned: former?.planned ?? true,
    };
    session.caches.set(cache.id, cache);
    this.total += 1;
    if (former !== null) this.strike(former);
    return { cache, takenFrom: former?.session ?? null };
  }

  /**
   * The cache lies at `base` in its client. Its planned addresses are free again; where it lies now
   * must be free of the plan's other caches, and of the same session's.
   */
  place(session: Session, id: CacheId, base: Address): void {
    const cache = this.of(session, id);
    const { baseAddress, totalBytes } = cache.plan;
    checkBase('actual_base_address', base);
    if (base === baseAddress) return;
    if (base === 0n || base + totalBytes > ADDRESS_END) {
      throw badField('actual_base_address', base, `${PAGE_BYTES}..${ADDRESS_END - totalBytes}`);
    }
    // Outside the plan nothing else keeps two caches of one session apart.
    const other = overlapping(session, base, totalBytes, cache);
    if (other !== null)
      throw badField(
        'actual_base_address',
        base,
        `addresses apart from those of cache ${other.id}`,
      );
    this.vacate(cache);
    const planned = this.addresses.touches(base, totalBytes);
    if (planned && !this.addresses.isFree(base, totalBytes)) {
      if (cache.planned) this.addresses.take(baseAddress, totalBytes);
      throw badField(
        'actual_base_address',
        base,
        'addresses that no other cache has, within the plan or outside it',
      );
    }
    if (planned) this.addresses.take(base, totalBytes);
    cache.planned = planned;
    cache.plan = { ...cache.plan, baseAddress: base };
  }

  destroy(session: Session, id: CacheId): void {
    const cache = this.of(session, id);
    this.vacate(cache);
    this.strike(cache);
  }

  destroyAll(session: Session): void {
    for (const id of session.caches.keys()) this.destroy(session, id);
  }

  /** The cache that had this very range before; null: none, or it would not be apart from the session's. */
  private formerOf(
    session: Session,
    leftBehind: readonly Session[],
    base: Address,
    totalBytes: Bytes,
  ): Cache | null {
    if (base === 0n || overlapping(session, base, totalBytes, null) !== null) return null;
    const caches = leftBehind.flatMap(other => [...other.caches.values()]);
    const same = ({ plan }: Cache): boolean =>
      plan.baseAddress === base && plan.totalBytes === totalBytes;
    return caches.find(same) ?? null;
  }

  private strike(cache: Cache): void {
    cache.session.caches.delete(cache.id);
    this.total -= 1;
  }

  /** Throws CACHE_UNKNOWN. */
  of(session: Session, id: CacheId): Cache {
    const cache = session.caches.get(id);
    // Another session's cache is as unknown as none: ids are no secret, but nobody else's business.
    if (cache === undefined) {
      throw new KvspanError(
        'CACHE_UNKNOWN',
        `cache_id: session ${session.id} has no cache ${String(id)}`,
        { field: 'cache_id' },
      );
    }
    return cache;
  }

  private vacate(cache: Cache): void {
    if (cache.planned) this.addresses.release(cache.plan.baseAddress, cache.plan.totalBytes);
  }
}

/** One of the session's caches, but for `except`, that has any of these addresses. */
function overlapping(
  session: Session,
  base: Address,
  totalBytes: Bytes,
  except: Cache | null,
): Cache | null {
  for (const other of session.caches.values()) {
    const { baseAddress, totalBytes: otherBytes } = other.plan;
    const apart = base + totalBytes <= baseAddress || base >= baseAddress + otherBytes;
    if (other !== except && !apart) return other;
  }
  return null;
}

function checkName(name: string): void {
  if (typeof name === 'string' && name.length <= CACHE_NAME_MAX && /^[\x20-\x7e]*$/.test(name))
    return;
  throw badField('name', name, `at most ${CACHE_NAME_MAX} bytes of printable ASCII`);
}

export function cacheView(cache: Cache): CacheView {
  const { id, session, name, geometry, plan } = cache;
  return {
    id,
    session: session.id,
    name,
    geometry,
    plan: { ...plan, baseAddress: address(plan.baseAddress) },
  };
}
