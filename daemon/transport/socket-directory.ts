/**
 * The directory of the sockets: who can write to it can put a socket of their own in the daemon's
 * place, so it must be ours and nobody else's to write.
 */
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  type Stats,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { ADMIN_SOCKET, EXTENT_SOCKET, PAGE_FILE, SERVICE_SOCKET } from '../../proto/paths.js';
import { StartupError } from '../exit-codes.js';

/** sun_path is 108 bytes with its NUL. */
const SOCKET_PATH_BYTES_MAX = 107;
const OTHERS_WRITE = 0o022;
const GID_MAX = 2 ** 32 - 2;

/** Who may connect: the own user alone, or a group too. */
export interface Access {
  readonly gid: number | null;
  readonly directoryMode: number;
  readonly socketMode: number;
}

export interface SocketPaths {
  readonly directory: string;
  readonly service: string;
  readonly extents: string;
  readonly admin: string;
  readonly lock: string;
  /** A file with the live page's address, token and all: the owner's alone. */
  readonly page: string;
}

const permission = (message: string, hint: string, cause?: unknown): StartupError =>
  new StartupError('permission', message, hint, cause);

function gidOf(group: string): number {
  if (/^[0-9]{1,10}$/.test(group) && Number(group) <= GID_MAX) return Number(group);
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find(entry => entry.startsWith(`${group}:`));
  const gid = line?.split(':')[2];
  if (gid === undefined) {
    throw new StartupError(
      'config',
      `socketGroup is "${group}", allowed: a group of /etc/group, or its number`,
      '',
    );
  }
  return Number(gid);
}

export function accessFor(group: string | null): Access {
  if (group === null) return { gid: null, directoryMode: 0o700, socketMode: 0o600 };
  return { gid: gidOf(group), directoryMode: 0o750, socketMode: 0o660 };
}

/** Absolute: a client is told the path, and has a working directory of its own. */
export function socketPaths(given: string): SocketPaths {
  const directory = resolve(given);
  const service = join(directory, SERVICE_SOCKET);
  const extents = join(directory, EXTENT_SOCKET);
  const longest = Math.max(Buffer.byteLength(service), Buffer.byteLength(extents));
  if (longest > SOCKET_PATH_BYTES_MAX) {
    throw new StartupError(
      'config',
      `socketDirectory makes a socket path of ${longest} bytes, allowed: ${SOCKET_PATH_BYTES_MAX}`,
      'give a shorter --socket-directory',
    );
  }
  const admin = join(directory, ADMIN_SOCKET);
  return {
    directory,
    service,
    extents,
    admin,
    lock: join(directory, 'lock'),
    page: join(directory, PAGE_FILE),
  };
}

function lookAt(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw permission(`${path}: ${(error as Error).message}`, '', error);
  }
}

function make(path: string, access: Access): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    mkdirSync(path, { mode: access.directoryMode });
  } catch (error) {
    throw permission(
      `socket directory ${path} cannot be made: ${(error as Error).message}`,
      'give a --socket-directory that you may write',
      error,
    );
  }
  try {
    // The umask may have taken bits away; the group goes first, so that no other ever has them.
    if (access.gid !== null) chownSync(path, -1, access.gid);
    chmodSync(path, access.directoryMode);
  } catch (error) {
    rmdirSync(path);
    throw permission(
      `socket directory ${path} cannot be given to group ${access.gid}: ${(error as Error).message}`,
      'give a --socket-group that the own user is in',
      error,
    );
  }
}

function check(path: string, found: Stats, uid: number): void {
  const other = 'give another --socket-directory';
  if (found.isSymbolicLink())
    throw permission(`socket directory ${path} is a symbolic link`, other);
  if (!found.isDirectory()) throw permission(`socket directory ${path} is not a directory`, other);
  if (found.uid !== uid)
    throw permission(`socket directory ${path} belongs to user ${found.uid}, not to ${uid}`, other);
  if ((found.mode & OTHERS_WRITE) !== 0) {
    throw permission(
      `socket directory ${path} can be written by others (mode ${(found.mode & 0o7777).toString(8)})`,
      `chmod 0700 ${path}`,
    );
  }
}

/** Makes the directory, or accepts one that is safe. Throws a StartupError of reason `permission`. */
export function prepareSocketDirectory(
  path: string,
  access: Access,
  uid = process.getuid?.() ?? 0,
): void {
  if (lookAt(path) === null) make(path, access);
  const found = lookAt(path);
  if (found !== null) check(path, found, uid);
}
