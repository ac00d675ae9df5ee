import {
  ExtentTable,
  orderBytes,
  type AdoptedSpec,
  type Extent,
  type InFlight,
} from './extents.js';
import type { Promised } from './promises.js';
import { forgiveOverdue, type Session } from './sessions.js';
import {
  bytes,
  extentId,
  type Bytes,
  type ExtentId,
  type GrantId,
  type OrderCounts,
} from './types.js';

/**
 * Whose every byte is. An extent is charged from the decision to grant it until it is returned and
 * the daemon has no handle of it either; charge and credit happen here and nowhere else. The
 * callers have validated; nothing here refuses, except ids that have run out.
 */
export class Pool {
  readonly extents: ExtentTable;
  private used = 0n;
  private promised = 0n;
  /** Ever, in extents that this daemon granted. */
  grantedBytes = 0n;
  /** Ever, in extents that became free again, adopted ones too. */
  returnedBytes = 0n;
  /** Ever, in extents of earlier daemons. */
  adoptedBytes = 0n;
  grantedCount = 0n;

  constructor(
    readonly totalBytes: Bytes,
    epoch: bigint,
  ) {
    this.extents = new ExtentTable(epoch);
  }

  get usedBytes(): Bytes {
    return bytes(this.used);
  }

  get freeBytes(): Bytes {
    return bytes(this.totalBytes - this.used);
  }

  get promisedBytes(): Bytes {
    return bytes(this.promised);
  }

  /** Neither in use nor promised. */
  get unpromisedBytes(): Bytes {
    return bytes(this.totalBytes - this.used - this.promised);
  }

  /** So much more, or less, is kept free for the session by its promises. */
  promise(session: Session, moreBytes: bigint): void {
    session.promisedBytes += moreBytes;
    session.tenant.promisedBytes += moreBytes;
    this.promised += moreBytes;
  }

  /** Charges fresh extents to the session, the largest first; they stay in flight until `settle`. */
  issue(
    session: Session,
    id: GrantId,
    counts: OrderCounts,
    promise: Promised | null = null,
  ): InFlight {
    const extents: Extent[] = [];
    const grant: InFlight = { id, session, extents, promise };
    for (let order = counts.length - 1; order >= 0; order -= 1) {
      for (let left = counts[order] as number; left > 0; left -= 1) {
        extents.push(this.charge(session, this.extents.nextId(), orderBytes(order), grant));
      }
    }
    session.inFlight.set(id, grant);
    this.grantedCount += 1n;
    this.grantedBytes += extents.reduce((total, extent) => total + extent.bytes, 0n);
    return grant;
  }

  adopt(session: Session, specs: readonly AdoptedSpec[]): void {
    for (const { id, order } of specs) {
      this.adoptedBytes += this.charge(session, extentId(id), orderBytes(order), null).bytes;
    }
  }

  /** From the account it is on to the session's, of the same tenant; the pool has no more in use. */
  move(extent: Extent, to: Session): void {
    const { session: from, bytes: size } = extent;
    from.extents.delete(extent);
    from.heldBytes = bytes(from.heldBytes - size);
    extent.session = to;
    to.extents.add(extent);
    to.heldBytes = bytes(to.heldBytes + size);
  }

  /**
   * The daemon's handles of a grant are closed. Free are: what did not arrive, what was returned in
   * the meantime, and, if its process is gone, everything.
   */
  settle(grant: InFlight, importedCount: number): void {
    const { session } = grant;
    for (const [index, extent] of grant.extents.entries()) {
      extent.grant = null;
      if (index >= importedCount || extent.returned || session.state === 'exited')
        this.credit(extent);
    }
    session.inFlight.delete(grant.id);
  }

  /** The session gives an extent of its own back: once, also if its grant is still in flight. */
  giveBack(extent: Extent): void {
    if (extent.grant === null) this.credit(extent);
    else extent.returned = true;
  }

  private charge(session: Session, id: ExtentId, size: Bytes, grant: InFlight | null): Extent {
    const extent: Extent = { id, bytes: size, session, grant, returned: false };
    this.extents.add(extent);
    session.extents.add(extent);
    session.heldBytes = bytes(session.heldBytes + size);
    session.tenant.heldBytes += size;
    this.used += size;
    return extent;
  }

  private credit(extent: Extent): void {
    const { session, bytes: size } = extent;
    this.extents.remove(extent);
    session.extents.delete(extent);
    session.heldBytes = bytes(session.heldBytes - size);
    session.tenant.heldBytes -= size;
    this.used -= size;
    this.returnedBytes += size;
    session.barren = false;
    forgiveOverdue(session);
    const { askedBack } = session;
    if (askedBack !== null)
      askedBack.leftBytes = askedBack.leftBytes > size ? askedBack.leftBytes - size : 0n;
  }
}
