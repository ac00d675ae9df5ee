/** What is left after a run: extents and bytes in the daemon's books, open files on both sides. */
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Admin } from './admin.js';
import type { DemoDaemon } from './daemon.js';

export interface Leaks {
  /** Extents and bytes that the daemon still charges to the run's session; 0 is right. */
  readonly extents: number;
  readonly bytes: number;
  /** Open files that were not there before, of this process and of a private daemon together. */
  readonly fds: number;
}

/**
 * grpc-js keeps a closed client's connection for up to ten seconds; everything else settles at once,
 * and what has settled is not waited for.
 */
const SETTLE_MS = 12_000;
const POLL_MS = 100;

/** What each open file is (`socket:[inode]`, a path, ...), and how many there are of it. */
type OpenFiles = ReadonlyMap<string, number>;

export interface Baseline {
  readonly usedBytes: number;
  readonly extents: number;
  readonly own: OpenFiles;
  readonly daemon: OpenFiles;
}

/** Looks at the daemon through one connection, open before and after alike. */
export class LeakWatch {
  readonly #daemon: DemoDaemon;
  readonly #admin: Admin;
  #before: Baseline | null = null;

  constructor(daemon: DemoDaemon) {
    this.#daemon = daemon;
    this.#admin = new Admin(daemon.socketDirectory);
  }

  async begin(): Promise<void> {
    this.#before = await this.#measure(null);
  }

  /** Waits until everything is back, some seconds at most, and says what is not. */
  async find(sessionId: bigint, settleMs = SETTLE_MS): Promise<Leaks> {
    const until = Date.now() + settleMs;
    const before = this.#before;
    if (before === null) throw new Error('find: begin was not called');
    for (;;) {
      const now = await this.#measure(sessionId);
      const leaks = {
        extents: Math.max(0, now.extents - before.extents),
        bytes: Math.max(0, now.usedBytes - before.usedBytes),
        fds: added(before.own, now.own) + added(before.daemon, now.daemon),
      };
      if ((leaks.extents === 0 && leaks.bytes === 0 && leaks.fds === 0) || Date.now() > until)
        return leaks;
      await sleep(POLL_MS);
    }
  }

  close(): void {
    this.#admin.close();
  }

  /**
   * A private daemon's whole pool counts; of a shared one only this run's session does, as what
   * others do is theirs.
   */
  async #measure(sessionId: bigint | null): Promise<Baseline> {
    const books = await this.#books(sessionId);
    // After the call, so that the connection that it opened is counted each time.
    const { pid } = this.#daemon;
    return { ...books, own: openFiles('self'), daemon: pid === null ? new Map() : openFiles(pid) };
  }

  async #books(sessionId: bigint | null): Promise<Pick<Baseline, 'usedBytes' | 'extents'>> {
    if (this.#daemon.pid !== null) return this.#admin.pool();
    const session = (await this.#admin.sessions()).find(other => other.sessionId === sessionId);
    return { usedBytes: session?.heldBytes ?? 0, extents: session?.extents ?? 0 };
  }
}

function added(before: OpenFiles, now: OpenFiles): number {
  let count = 0;
  for (const [what, present] of now) count += Math.max(0, present - (before.get(what) ?? 0));
  return count;
}

function openFiles(pid: number | 'self'): OpenFiles {
  const directory = `/proc/${pid}/fd`;
  const files = new Map<string, number>();
  for (const fd of readdirSync(directory)) {
    const what = targetOf(join(directory, fd));
    if (what !== null && !isExpected(what)) files.set(what, (files.get(what) ?? 0) + 1);
  }
  return files;
}

/** Null: it was closed meanwhile, as the one that listed the directory was. */
function targetOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

/** The daemon watches a process that had a session until it exits: one pidfd, by design. */
const isExpected = (what: string): boolean => what === 'anon_inode:[pidfd]';
