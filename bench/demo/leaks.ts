/** What is left after a run: extents and bytes in the daemon's books, open files on both sides. */
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Admin } from './admin.js';
import type { DemoDaemon } from './daemon.js';

export interface Leaks {
  /** Extents and bytes that the daemon still charges to the run's session; 0 is right. */
  readonly extents: number;
  readonly bytes: number;
  /** Open files above the number before, of this process and of a private daemon together. */
  readonly fds: number;
}

/** Connections take a moment to close on both sides. */
const SETTLE_MS = 3000;
const POLL_MS = 50;

export interface Baseline {
  readonly usedBytes: number;
  readonly extents: number;
  readonly fds: number;
}

export async function takeBaseline(daemon: DemoDaemon): Promise<Baseline> {
  return measure(daemon, null);
}

/** Waits until everything is back, a few seconds at most, and says what is not. */
export async function findLeaks(daemon: DemoDaemon, before: Baseline, sessionId: bigint): Promise<Leaks> {
  const until = Date.now() + SETTLE_MS;
  for (;;) {
    const now = await measure(daemon, sessionId);
    const leaks = {
      extents: Math.max(0, now.extents - before.extents),
      bytes: Math.max(0, now.usedBytes - before.usedBytes),
      fds: Math.max(0, now.fds - before.fds),
    };
    if ((leaks.extents === 0 && leaks.bytes === 0 && leaks.fds === 0) || Date.now() > until) return leaks;
    await sleep(POLL_MS);
  }
}

/**
 * A private daemon's whole pool counts; of a shared one only this run's session does, as what
 * others do is theirs.
 */
async function measure(daemon: DemoDaemon, sessionId: bigint | null): Promise<Baseline> {
  const admin = new Admin(daemon.socketDirectory);
  let usedBytes: number;
  let extents: number;
  try {
    if (daemon.pid !== null) {
      ({ usedBytes, extents } = await admin.pool());
    } else {
      const own = (await admin.sessions()).find((session) => session.sessionId === sessionId);
      ({ heldBytes: usedBytes, extents } = own ?? { heldBytes: 0, extents: 0 });
    }
    // Counted while the admin connection is open, before and after alike.
    return { usedBytes, extents, fds: openFiles('self') + (daemon.pid === null ? 0 : openFiles(daemon.pid)) };
  } finally {
    admin.close();
  }
}

function openFiles(pid: number | 'self'): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
