import { KvspanError, badField } from '../../proto/errors.js';
import type { Session } from './sessions.js';
import {
  EXTENT_ORDER_MAX,
  PAGE_BYTES,
  UINT64_MAX,
  bytes,
  extentId,
  type Bytes,
  type ExtentId,
  type GrantId,
} from './types.js';

/** An id is `epoch << 40 | counter`, so that the ids of another run of the daemon are told apart. */
export const EPOCH_BITS = 24n;
export const COUNTER_BITS = 40n;
const COUNTER_END = 1n << COUNTER_BITS;

/** A grant that the device and the channel are still at work on. */
export interface InFlight {
  readonly id: GrantId;
  readonly session: Session;
  /** In the order of the effect, so that a count says which arrived. */
  readonly extents: readonly Extent[];
}

export interface Extent {
  readonly id: ExtentId;
  readonly bytes: Bytes;
  readonly session: Session;
  /** Null once its grant is settled: the daemon has no handle of it any more. */
  grant: InFlight | null;
  /** Returned while its grant was in flight: charged until the grant is settled. */
  returned: boolean;
}

export const orderBytes = (order: number): Bytes => bytes(PAGE_BYTES << BigInt(order));

/** Issues ids, and knows who owns each extent. */
export class ExtentTable {
  private readonly owned = new Map<ExtentId, Extent>();
  private counter = 0n;

  constructor(private readonly epoch: bigint) {
    if (typeof epoch !== 'bigint' || epoch < 0n || epoch >= 1n << EPOCH_BITS) {
      throw badField('epoch', epoch, `0..${(1n << EPOCH_BITS) - 1n}`);
    }
  }

  get count(): number {
    return this.owned.size;
  }

  [Symbol.iterator](): IterableIterator<Extent> {
    return this.owned.values();
  }

  has(id: ExtentId): boolean {
    return this.owned.has(id);
  }

  isOwnEpoch(id: ExtentId): boolean {
    return id >> COUNTER_BITS === this.epoch;
  }

  nextId(): ExtentId {
    // At ten thousand extents a second the counter lasts three years.
    if (this.counter + 1n >= COUNTER_END)
      throw new KvspanError('INTERNAL', 'extent ids of this daemon run are used up');
    this.counter += 1n;
    return extentId((this.epoch << COUNTER_BITS) | this.counter);
  }

  add(extent: Extent): void {
    this.owned.set(extent.id, extent);
  }

  remove(extent: Extent): void {
    this.owned.delete(extent.id);
  }

  /**
   * The extent, if it is the session's to return. An id of this run that was issued and that nobody
   * owns must have been returned: so nothing has to be remembered about the dead.
   */
  ownedBy(session: Session, id: ExtentId): Extent {
    const extent = this.owned.get(id);
    if (extent === undefined) throw this.nobodys(id);
    if (extent.session !== session) {
      throw new KvspanError(
        'EXTENT_FOREIGN',
        `extent_ids: extent ${id} is not of session ${session.id}`,
        { field: 'extent_ids' },
      );
    }
    if (extent.returned) throw returnedBefore(id);
    return extent;
  }

  private nobodys(id: ExtentId): KvspanError {
    const issued =
      typeof id === 'bigint' &&
      this.isOwnEpoch(id) &&
      id !== this.epoch << COUNTER_BITS &&
      (id & (COUNTER_END - 1n)) <= this.counter;
    if (issued) return returnedBefore(id);
    return new KvspanError(
      'EXTENT_UNKNOWN',
      `extent_ids: no extent ${String(id)} was granted by this daemon`,
      { field: 'extent_ids' },
    );
  }
}

function returnedBefore(id: ExtentId): KvspanError {
  return new KvspanError('EXTENT_RETURNED', `extent_ids: extent ${id} was returned before`, {
    field: 'extent_ids',
  });
}

export interface AdoptedSpec {
  readonly id: ExtentId;
  readonly order: number;
}

/** Throws INVALID_ARGUMENT unless these can be extents of an earlier daemon; their bytes otherwise. */
export function checkAdopted(table: ExtentTable, specs: readonly AdoptedSpec[]): bigint {
  const seen = new Set<ExtentId>();
  let total = 0n;
  for (const { id, order } of specs) {
    if (typeof id !== 'bigint' || id <= 0n || id > UINT64_MAX)
      throw badField('extent_ids', id, `1..${UINT64_MAX}`);
    if (table.isOwnEpoch(id))
      throw badField('extent_ids', id, 'extents of an earlier daemon, not of this one');
    if (seen.has(id)) throw badField('extent_ids', id, 'each extent once');
    if (table.has(id)) throw badField('extent_ids', id, 'extents that no session has adopted yet');
    if (!Number.isInteger(order) || order < 0 || order > EXTENT_ORDER_MAX) {
      throw badField('extent_orders', order, `an integer of 0..${EXTENT_ORDER_MAX}`);
    }
    seen.add(id);
    total += orderBytes(order);
  }
  return total;
}
