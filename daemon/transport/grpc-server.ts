/** The gRPC server on its Unix socket. */
import { chmodSync, chownSync } from 'node:fs';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Config } from '../config/schema.js';
import { StartupError } from '../exit-codes.js';
import type { System } from '../ports/device.js';
import type { Access } from './socket-directory.js';

/** HTTP/2 streams of one connection: a session needs its stream and a few unary calls. */
const CONCURRENT_STREAMS_MAX = 1024;
/** Nobody may connect before the mode is set. */
const UMASK_ALL_BUT_OWNER = 0o177;

export function createGrpcServer(config: Pick<Config, 'messageBytesMax'>): Server {
  return new Server({
    'grpc.max_receive_message_length': config.messageBytesMax,
    'grpc.max_concurrent_streams': CONCURRENT_STREAMS_MAX,
    // Both cost 20 to 40 % of a call (docs/architecture.md) and serve nothing on a local socket.
    'grpc.enable_channelz': 0,
    'grpc.enable_retries': 0,
  });
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), error => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/** The socket has its mode from its first moment: it is made for the owner, then opened to a group. */
export async function bindGrpcServer(
  server: Server,
  path: string,
  access: Access,
  system: System,
): Promise<void> {
  const umask = system.setUmask(UMASK_ALL_BUT_OWNER);
  try {
    await bind(server, path);
  } catch (error) {
    throw new StartupError(
      'permission',
      `socket ${path}: ${(error as Error).message}`,
      'check the socket directory',
      error,
    );
  } finally {
    system.setUmask(umask);
  }
  openToGroup(path, access);
}

/** Throws a StartupError of reason `permission`: only a member, or root, may give it to a group. */
export function openToGroup(path: string, access: Access): void {
  try {
    if (access.gid !== null) chownSync(path, -1, access.gid);
    chmodSync(path, access.socketMode);
  } catch (error) {
    throw new StartupError(
      'permission',
      `socket ${path} cannot be opened to group ${access.gid}: ${(error as Error).message}`,
      'give a --socket-group that the own user is in',
      error,
    );
  }
}

/** Lets running calls end, for at most `timeoutMs`; then cuts them. */
export async function stopGrpcServer(server: Server, timeoutMs: number): Promise<void> {
  const finished = new Promise<void>(resolve => {
    server.tryShutdown(() => resolve());
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([finished, late]);
  clearTimeout(timer);
  server.forceShutdown();
}
