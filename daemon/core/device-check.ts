/**
 * The books held against what the machine says of the device. Either moves while the other is read:
 * memory is charged before it is created, and gone before its return is told. So of each account the
 * least and the most that it was meanwhile are taken, little is passed over, and a difference counts
 * once it has been there in several looks on end.
 */

/** Looks on end that show a difference before it is one. */
export const LOOKS = 3;
/** Of what is charged, or promised, the share that may be on its way. */
const TOLERANCE = 64n;

/** What a session is charged at one moment. */
export interface Account {
  readonly pid: number;
  readonly heldBytes: bigint;
  /** Of these: charged, but not known to have arrived. */
  readonly inFlightBytes: bigint;
}

export interface DeviceReading {
  readonly usedBytes: bigint;
  readonly freeBytes: bigint;
  /**
   * What each process has of our memory, null for one that cannot be seen. Null: the device does not
   * say whose its memory is; then all that is used stands against all that is charged.
   */
  readonly processes: readonly { readonly pid: number; readonly bytes: bigint | null }[] | null;
}

export interface Look {
  readonly poolBytes: bigint;
  readonly before: readonly Account[];
  readonly reading: DeviceReading;
  readonly after: readonly Account[];
}

/** A process that has another amount than it is charged. */
export interface Difference {
  readonly pid: number;
  readonly chargedBytes: bigint;
  readonly foundBytes: bigint;
}

export interface DeviceCheck {
  readonly deviceUsedBytes: bigint;
  readonly deviceFreeBytes: bigint;
  /** Charged to sessions. */
  readonly grantedBytes: bigint;
  /** Of these: known to have arrived, so the device must have it. */
  readonly heldBytes: bigint;
  /** All else that is used: contexts, other programs, the driver itself. */
  readonly foreignBytes: bigint;
  // Each 0 unless it has been so for `LOOKS` looks; then the least that it was.
  /** The books charge it, the device does not have it. */
  readonly missingBytes: bigint;
  /** Processes with a session have it, and are not charged for it. */
  readonly unchargedBytes: bigint;
  /** The pool still promises it, the device has not that much free. */
  readonly shortBytes: bigint;
  readonly differences: readonly Difference[];
}

interface Bounds {
  /** The least that must have arrived, and the most that may have. */
  least: bigint;
  most: bigint;
}

export class DeviceChecker {
  /** By what it is about: the least of the difference so far, and in how many looks on end. */
  private readonly seen = new Map<string, { least: bigint; looks: number }>();

  look({ poolBytes, before, reading, after }: Look): DeviceCheck {
    const bounds = boundsOf(before, after);
    const all = [...bounds.values()];
    const heldBytes = sum(all.map(({ least }) => least));
    const grantedBytes = sum(all.map(({ most }) => most));
    const differences = this.differences(bounds, reading);
    const over = heldBytes - reading.usedBytes;
    const missing = reading.processes === null ? this.lasting('missing', over, grantedBytes) : 0n;
    return {
      deviceUsedBytes: reading.usedBytes,
      deviceFreeBytes: reading.freeBytes,
      grantedBytes,
      heldBytes,
      foreignBytes: most(0n, reading.usedBytes - heldBytes),
      missingBytes: missing + sum(differences.map(one => most(0n, -excess(one)))),
      unchargedBytes: sum(differences.map(one => most(0n, excess(one)))),
      shortBytes: this.lasting('short', poolBytes - grantedBytes - reading.freeBytes, poolBytes),
      differences,
    };
  }

  private differences(bounds: ReadonlyMap<number, Bounds>, reading: DeviceReading): Difference[] {
    const found: Difference[] = [];
    for (const { pid, bytes } of reading.processes ?? []) {
      const account = bounds.get(pid);
      if (bytes === null || account === undefined) continue;
      const more = this.lasting(`${pid} has more`, bytes - account.most, account.most);
      const less = this.lasting(`${pid} has less`, account.least - bytes, account.most);
      if (more > 0n)
        found.push({ pid, chargedBytes: account.most, foundBytes: account.most + more });
      if (less > 0n)
        found.push({ pid, chargedBytes: account.least, foundBytes: account.least - less });
    }
    this.forgetOthers(bounds);
    return found;
  }

  /** The least that the difference has been, if it has lasted. */
  private lasting(about: string, bytes: bigint, of: bigint): bigint {
    if (bytes <= 0n || bytes < of / TOLERANCE) {
      this.seen.delete(about);
      return 0n;
    }
    const { least, looks } = this.seen.get(about) ?? { least: bytes, looks: 0 };
    const now = { least: least < bytes ? least : bytes, looks: looks + 1 };
    this.seen.set(about, now);
    return now.looks >= LOOKS ? now.least : 0n;
  }

  /** Processes without a session any more. */
  private forgetOthers(bounds: ReadonlyMap<number, Bounds>): void {
    for (const about of this.seen.keys()) {
      const pid = Number.parseInt(about, 10);
      if (Number.isInteger(pid) && !bounds.has(pid)) this.seen.delete(about);
    }
  }
}

const sum = (all: readonly bigint[]): bigint => all.reduce((total, one) => total + one, 0n);
const most = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const excess = ({ foundBytes, chargedBytes }: Difference): bigint => foundBytes - chargedBytes;

/** A process may have several sessions; between the two moments each may have changed. */
function boundsOf(before: readonly Account[], after: readonly Account[]): Map<number, Bounds> {
  const [then, now] = [totals(before), totals(after)];
  const none = { least: 0n, most: 0n };
  return new Map(
    [...new Set([...then.keys(), ...now.keys()])].map(pid => {
      const [a, b] = [then.get(pid) ?? none, now.get(pid) ?? none];
      return [pid, { least: a.least < b.least ? a.least : b.least, most: most(a.most, b.most) }];
    }),
  );
}

function totals(accounts: readonly Account[]): Map<number, Bounds> {
  const byPid = new Map<number, Bounds>();
  for (const { pid, heldBytes, inFlightBytes } of accounts) {
    const total = byPid.get(pid) ?? { least: 0n, most: 0n };
    total.least += heldBytes - inFlightBytes;
    total.most += heldBytes;
    byPid.set(pid, total);
  }
  return byPid;
}
