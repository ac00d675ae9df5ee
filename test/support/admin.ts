/** The daemon's books as an operator sees them. */
import { credentials, type requestCallback } from '@grpc/grpc-js';
import { join } from 'node:path';
import { SERVICE_SOCKET } from '../../proto/paths.js';
import { loadPackage } from '../../proto/load.js';
import type { GetPoolResponse__Output } from '../../proto/generated/kvspan/v1/GetPoolResponse.js';
import type { ListSessionsResponse__Output } from '../../proto/generated/kvspan/v1/ListSessionsResponse.js';

export interface Pool {
  readonly usedBytes: bigint;
  readonly freeBytes: bigint;
  readonly extents: bigint;
  readonly sessions: number;
  readonly caches: number;
  readonly waitingGrants: number;
  /** Since the daemon started. */
  readonly grantsMet: bigint;
}

export interface Account {
  readonly id: bigint;
  readonly pid: number;
  readonly state: string;
  readonly heldBytes: bigint;
  readonly extents: bigint;
}

export class Admin {
  readonly #client;

  constructor(directory: string) {
    const { AdminService } = loadPackage();
    this.#client = new AdminService(
      `unix:${join(directory, SERVICE_SOCKET)}`,
      credentials.createInsecure(),
      {
        'grpc.use_local_subchannel_pool': 1,
      },
    );
  }

  async pool(): Promise<Pool> {
    const pool = await call<GetPoolResponse__Output>(done => this.#client.getPool({}, done));
    return {
      usedBytes: BigInt(pool.usedBytes),
      freeBytes: BigInt(pool.freeBytes),
      extents: BigInt(pool.extentCount),
      sessions: pool.sessionCount,
      caches: pool.cacheCount,
      waitingGrants: pool.waitingGrantCount,
      grantsMet: BigInt(pool.grantedTotalCount),
    };
  }

  async sessions(): Promise<Account[]> {
    const list = await call<ListSessionsResponse__Output>(done =>
      this.#client.listSessions({}, done),
    );
    return list.sessions.map(session => ({
      id: BigInt(session.sessionId),
      pid: session.pid,
      state: session.state,
      heldBytes: BigInt(session.heldBytes),
      extents: BigInt(session.extentCount),
    }));
  }

  close(): void {
    this.#client.close();
  }
}

function call<Answer>(start: (done: requestCallback<Answer>) => unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    start((error, answer) => (error ? reject(error) : resolve(answer as Answer)));
  });
}
