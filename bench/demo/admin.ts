/** Looking at a daemon from outside, through its read-only admin service. */
import { join } from 'node:path';
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { decodeUint64 } from '../../proto/codec.js';
import type { GetPoolResponse__Output } from '../../proto/generated/kvspan/v1/GetPoolResponse.js';
import type { ListSessionsResponse__Output } from '../../proto/generated/kvspan/v1/ListSessionsResponse.js';
import { loadPackage } from '../../proto/load.js';
import { SERVICE_SOCKET } from '../../proto/paths.js';

export interface PoolView {
  readonly backend: string;
  readonly deviceName: string;
  readonly poolBytes: number;
  readonly usedBytes: number;
  readonly extents: number;
}

export interface SessionView {
  readonly sessionId: bigint;
  readonly heldBytes: number;
  readonly extents: number;
}

const CALL_MS = 2000;

export class Admin {
  readonly #client;

  constructor(socketDirectory: string) {
    const { AdminService } = loadPackage();
    this.#client = new AdminService(
      `unix:${join(socketDirectory, SERVICE_SOCKET)}`,
      credentials.createInsecure(),
      {
        'grpc.enable_channelz': 0,
        // A private pool of connections: closing this client closes its socket.
        'grpc.use_local_subchannel_pool': 1,
      },
    );
  }

  async pool(): Promise<PoolView> {
    const pool = await this.#call<GetPoolResponse__Output>((options, done) =>
      this.#client.getPool({}, options, done),
    );
    return {
      backend: pool.device?.backend ?? '',
      deviceName: pool.device?.name ?? '',
      poolBytes: Number(decodeUint64(pool.poolBytes, 'pool_bytes')),
      usedBytes: Number(decodeUint64(pool.usedBytes, 'used_bytes')),
      extents: Number(decodeUint64(pool.extentCount, 'extent_count')),
    };
  }

  async sessions(): Promise<SessionView[]> {
    const list = await this.#call<ListSessionsResponse__Output>((options, done) =>
      this.#client.listSessions({}, options, done),
    );
    return list.sessions.map(session => ({
      sessionId: decodeUint64(session.sessionId, 'session_id'),
      heldBytes: Number(decodeUint64(session.heldBytes, 'held_bytes')),
      extents: Number(decodeUint64(session.extentCount, 'extent_count')),
    }));
  }

  close(): void {
    this.#client.close();
  }

  #call<T>(
    start: (
      options: { deadline: number },
      done: (error: ServiceError | null, value?: T) => void,
    ) => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      start({ deadline: Date.now() + CALL_MS }, (error, value) => {
        if (error !== null || value === undefined)
          reject(error ?? new Error('the daemon answered nothing'));
        else resolve(value);
      });
    });
  }
}

/** The daemon's pool, or null if none answers there. */
export async function probe(socketDirectory: string): Promise<PoolView | null> {
  const admin = new Admin(socketDirectory);
  try {
    return await admin.pool();
  } catch {
    return null;
  } finally {
    admin.close();
  }
}
