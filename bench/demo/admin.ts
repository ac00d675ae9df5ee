/** What the demo and the benches want to know of a daemon: its books, in numbers to compute with. */
import { AdminClient } from '../../client/typescript/index.js';

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
  readonly #client: AdminClient;

  constructor(socketDirectory: string) {
    this.#client = new AdminClient({ socketDirectory, timeoutMs: CALL_MS });
  }

  async pool(): Promise<PoolView> {
    const pool = await this.#client.pool();
    return {
      backend: pool.backend,
      deviceName: pool.deviceName,
      poolBytes: Number(pool.poolBytes),
      usedBytes: Number(pool.usedBytes),
      extents: Number(pool.extentCount),
    };
  }

  async sessions(): Promise<SessionView[]> {
    const sessions = await this.#client.sessions();
    return sessions.map(({ sessionId, heldBytes, extentCount }) => ({
      sessionId,
      heldBytes: Number(heldBytes),
      extents: Number(extentCount),
    }));
  }

  close(): void {
    this.#client.close();
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
