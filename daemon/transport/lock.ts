/** One daemon a socket directory: an advisory lock, which the kernel drops however a daemon dies. */
import { lstatSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { StartupError } from '../exit-codes.js';
import type { System } from '../ports/device.js';
import type { SocketPaths } from './socket-directory.js';

export interface DirectoryLock {
  release(): void;
}

function pidIn(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim() || 'unknown';
  } catch {
    return 'unknown';
  }
}

function acquire(system: System, path: string): DirectoryLock | null {
  try {
    return system.lockFile(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartupError(
      'permission',
      `lock file ${path}: ${why}`,
      'give a --socket-directory that you may write',
      error,
    );
  }
}

/** Throws a StartupError of reason `anotherDaemon` with the pid of the daemon that is there. */
export function lockDirectory(system: System, paths: SocketPaths): DirectoryLock {
  const lock = acquire(system, paths.lock);
  if (lock === null) {
    const message = `another daemon (pid ${pidIn(paths.lock)}) serves on ${paths.directory}`;
    throw new StartupError('anotherDaemon', message, 'stop it, or give another --socket-directory');
  }
  // The lock is the truth; the pid is for people.
  writeFileSync(paths.lock, `${process.pid}\n`);
  return lock;
}

/** A dead daemon leaves its sockets. Only under the lock, and only sockets. */
export function removeStaleSockets(paths: SocketPaths): void {
  for (const path of [paths.service, paths.extents, paths.admin]) {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) continue;
    if (!found.isSocket())
      throw new StartupError(
        'permission',
        `${path} is in the way and is not a socket`,
        `remove ${path}`,
      );
    unlinkSync(path);
  }
}
