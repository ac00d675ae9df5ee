/**
 * Looks again and again whether the books and the device agree, and says so when they part. The device
 * is asked off the event loop, one look at a time: one that does not answer is waited for, not asked
 * again.
 */
import { type DeviceCheck, DeviceChecker, type DeviceReading } from '../core/device-check.js';
import type { Ledger } from '../core/ledger.js';
import type { Instant } from '../core/types.js';
import type { Clock, Timer } from '../ports/clock.js';
import type { DeviceUsage, UsageMeter } from '../ports/device.js';
import type { Logger } from '../telemetry/log.js';

export interface WatchPorts {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Logger;
  readonly poolBytes: bigint;
  /** Null: there is nobody to ask. */
  readonly meter: UsageMeter | null;
  /** 0: never. */
  readonly intervalMs: number;
}

export interface Watched {
  /** Of the latest look that was answered; null: none was. */
  readonly check: DeviceCheck | null;
  readonly at: Instant | null;
  readonly looks: bigint;
  /** Why there is no later one; '': there will be. */
  readonly unavailable: string;
}

export class DeviceWatch {
  private readonly checker = new DeviceChecker();
  private timer: Timer | null = null;
  /** When the look under way began. */
  private asking: Instant | null = null;
  private check: DeviceCheck | null = null;
  private at: Instant | null = null;
  private looks = 0n;
  private unavailable: string;
  private complaint = '';
  private stopped = false;

  constructor(private readonly ports: WatchPorts) {
    const idle = ports.meter === null || ports.intervalMs === 0;
    this.unavailable = idle ? 'the books are not compared with the device' : '';
    if (!idle) this.rearm();
  }

  get watched(): Watched {
    const { check, at, looks, unavailable } = this;
    return { check, at, looks, unavailable };
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  private rearm(): void {
    if (this.stopped) return;
    const { clock, intervalMs } = this.ports;
    this.timer = clock.after(intervalMs, () => {
      this.rearm();
      this.lookOnce().catch((error: unknown) =>
        this.ports.log.error({ err: error }, 'the books could not be compared with the device'),
      );
    });
  }

  private async lookOnce(): Promise<void> {
    const { clock, meter, poolBytes } = this.ports;
    if (meter === null) return;
    if (this.asking !== null) {
      this.cannot(`the device has not answered for ${Math.round(clock.now() - this.asking)} ms`);
      return;
    }
    const before = this.accounts();
    const pids = [...new Set(before.map(({ pid }) => pid))];
    this.asking = clock.now();
    try {
      const reading = readingOf(await meter.read(Int32Array.from(pids)), pids);
      if (this.stopped) return;
      this.unavailable = '';
      this.check = this.checker.look({ poolBytes, before, reading, after: this.accounts() });
      this.at = clock.now();
      this.looks += 1n;
      this.tell(this.check);
    } catch (error) {
      this.cannot(error instanceof Error ? error.message : String(error));
    } finally {
      this.asking = null;
    }
  }

  private accounts() {
    return this.ports.ledger.sessions().map(({ peer: { pid }, heldBytes, inFlightBytes }) => ({
      pid,
      heldBytes,
      inFlightBytes,
    }));
  }

  private cannot(why: string): void {
    if (this.unavailable === '' && !this.stopped)
      this.ports.log.info({ reason: why }, 'the books are not compared with the device');
    this.unavailable = why;
  }

  /** Once for each kind of difference, and once when there is none any more. */
  private tell(check: DeviceCheck): void {
    const complaint = complaintOf(check);
    const kind = complaint.replace(/[0-9]+/g, '');
    if (kind === this.complaint) return;
    this.complaint = kind;
    const fields = { bytes: check.grantedBytes, deviceBytes: check.deviceUsedBytes };
    if (complaint === '') this.ports.log.info(fields, 'the books and the device agree again');
    else this.ports.log.warn({ ...fields, reason: complaint }, 'the books and the device part');
  }
}

function readingOf(usage: DeviceUsage, pids: readonly number[]): DeviceReading {
  const { usedBytes, freeBytes, heldBytes } = usage;
  if (heldBytes === null) return { usedBytes, freeBytes, processes: null };
  const processes = pids.map((pid, index) => ({ pid, bytes: heldBytes[index] ?? null }));
  return { usedBytes, freeBytes, processes };
}

/** In words and numbers; '': they agree. */
export function complaintOf(check: DeviceCheck): string {
  const parts = [
    check.missingBytes > 0n
      ? `${check.missingBytes} bytes are charged that the device does not have`
      : '',
    check.unchargedBytes > 0n
      ? `${check.unchargedBytes} bytes are had by processes that are not charged for them`
      : '',
    ...check.differences.map(
      ({ pid, chargedBytes, foundBytes }) =>
        `process ${pid} is charged ${chargedBytes} and has ${foundBytes}`,
    ),
    check.shortBytes > 0n
      ? `${check.shortBytes} bytes that the pool promises are not free: others have them`
      : '',
  ];
  return parts.filter(part => part !== '').join('; ');
}
