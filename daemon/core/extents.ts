import { KvspanError, badField } from '../../proto/errors.js';
import type { Promised } from './promises.js';
import { isLeftBehind, type Session } from './sessions.js';
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
  /** Out of which it was met. */
  readonly promise: Promised | null;
}

export interface Extent {
  readonly id: ExtentId;
  readonly bytes: Bytes;
  /** Whose account it is on. */
  session: Session;
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

  get(id: ExtentId): Extent | undefined {
    return this.owned.get(id);
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
   * The extent, if it is the session's to return: its own, or one that its process left behind in an
   * earlier session and has released since. An id of this run that was issued and that nobody
   * owns must have been returned: so nothing has to be remembered about the dead.
   */
  ownedBy(session: Session, id: ExtentId): Extent {
    const extent = this.owned.get(id);
    if (extent === undefined) throw this.nobodys(id);
    if (extent.session !== session && !isLeftBehind(extent.session, session)) {
      throw foreign(`extent ${id} is not of session ${session.id}`);
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

function foreign(sentence: string): KvspanError {
  return new KvspanError('EXTENT_FOREIGN', `extent_ids: ${sentence}`, { field: 'extent_ids' });
}

export interface AdoptedSpec {
  readonly id: ExtentId;
  readonly order: number;
}

/** What a session takes on: extents of earlier daemons, and those its process left behind in this one. */
export interface Adoption {
  readonly fresh: readonly AdoptedSpec[];
  readonly moved: readonly Extent[];
  readonly freshBytes: bigint;
  readonly movedBytes: bigint;
}

/**
 * Sorts what a session wants to adopt, or throws for the first that it cannot have: EXTENT_FOREIGN if
 * it is on the account of another process, of a session that is still open, or still in flight;
 * INVALID_ARGUMENT if it is nobody's and cannot be of an earlier daemon, or is listed twice.
 */
export function sortAdopted(
  table: ExtentTable,
  session: Session,
  specs: readonly AdoptedSpec[],
): Adoption {
  const seen = new Set<ExtentId>();
  const fresh: AdoptedSpec[] = [];
  const moved: Extent[] = [];
  let [freshBytes, movedBytes] = [0n, 0n];
  for (const spec of specs) {
    checkSpec(spec);
    if (seen.has(spec.id)) throw badField('extent_ids', spec.id, 'each extent once');
    seen.add(spec.id);
    const extent = table.get(spec.id);
    if (extent === undefined) {
      if (table.isOwnEpoch(spec.id))
        throw badField('extent_ids', spec.id, 'extents of an earlier daemon, or that are held');
      fresh.push(spec);
      freshBytes += orderBytes(spec.order);
    } else {
      checkMovable(extent, session, spec.order);
      moved.push(extent);
      movedBytes += extent.bytes;
    }
  }
  return { fresh, moved, freshBytes, movedBytes };
}

function checkSpec({ id, order }: AdoptedSpec): void {
  if (typeof id !== 'bigint' || id <= 0n || id > UINT64_MAX)
    throw badField('extent_ids', id, `1..${UINT64_MAX}`);
  if (!Number.isInteger(order) || order < 0 || order > EXTENT_ORDER_MAX)
    throw badField('extent_orders', order, `an integer of 0..${EXTENT_ORDER_MAX}`);
}

function checkMovable(extent: Extent, session: Session, order: number): void {
  const { id, session: holder } = extent;
  if (holder === session)
    throw badField('extent_ids', id, 'extents that the session does not have yet');
  if (!isLeftBehind(holder, session))
    throw foreign(`extent ${id} is of another session, which its process has not left behind`);
  // Whether it has arrived is not known yet; once it is, it may be asked for again.
  if (extent.grant !== null)
    throw foreign(`extent ${id} is still in flight of session ${holder.id}`);
  if (orderBytes(order) !== extent.bytes)
    throw badField(
      'extent_orders',
      order,
      `the order of extent ${id}, which has ${extent.bytes} bytes`,
    );
}
