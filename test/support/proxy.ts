/** A way to the daemon's gRPC socket that can be cut, while the extent channel stays as it is. */
import { connect, createServer, type Socket } from 'node:net';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { SERVICE_SOCKET } from '../../proto/paths.js';
import { privateDirectory } from './daemon.js';

export interface Proxy extends AsyncDisposable {
  /** To connect to instead of the daemon's own. */
  readonly directory: string;
  /** Every connection through it ends; new ones are let through. */
  cut(): void;
  /** What clients say waits here; what the daemon says passes. Until `resume`. */
  hold(): void;
  resume(): void;
}

export async function startProxy(daemonDirectory: string): Promise<Proxy> {
  const directory = privateDirectory();
  const open = new Set<Socket>();
  /** Of each client, its connection to the daemon. */
  const daemonOf = new Map<Socket, Socket>();
  const server = createServer(client => {
    const daemon = connect(join(daemonDirectory, SERVICE_SOCKET));
    daemonOf.set(client, daemon);
    client.on('close', () => daemonOf.delete(client));
    for (const [from, to] of [
      [client, daemon],
      [daemon, client],
    ] as const) {
      open.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>(resolve => server.listen(join(directory, SERVICE_SOCKET), resolve));
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  return {
    directory,
    cut,
    hold: () => {
      for (const client of daemonOf.keys()) client.unpipe().pause();
    },
    resume: () => {
      for (const [client, daemon] of daemonOf) client.pipe(daemon);
    },
    [Symbol.asyncDispose]: async () => {
      cut();
      await new Promise(resolve => server.close(resolve));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
