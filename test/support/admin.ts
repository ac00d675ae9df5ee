/** The daemon's books as an operator sees them. */
import { credentials, type requestCallback } from '@grpc/grpc-js';
import { join } from 'node:path';
import { ADMIN_SOCKET, SERVICE_SOCKET } from '../../proto/paths.js';
import { loadPackage } from '../../proto/load.js';
import type { DeviceCheck__Output } from '../../proto/generated/kvspan/v1/DeviceCheck.js';
import type { EvictSessionResponse__Output } from '../../proto/generated/kvspan/v1/EvictSessionResponse.js';
import type { GetPoolResponse__Output } from '../../proto/generated/kvspan/v1/GetPoolResponse.js';
import type { ListTenantsResponse__Output } from '../../proto/generated/kvspan/v1/ListTenantsResponse.js';
import type { SetTenantResponse__Output } from '../../proto/generated/kvspan/v1/SetTenantResponse.js';
import type { ListSessionsResponse__Output } from '../../proto/generated/kvspan/v1/ListSessionsResponse.js';

export interface Pool {
  readonly usedBytes: bigint;
  readonly freeBytes: bigint;
  /** Of the free bytes. */
  readonly promisedBytes: bigint;
  readonly extents: bigint;
  readonly sessions: number;
  readonly caches: number;
  readonly waitingGrants: number;
  /** Since the daemon started. */
  readonly grantsMet: bigint;
}

export interface DeviceCheck {
  readonly looks: number;
  readonly unavailable: string;
  readonly usedBytes: bigint;
  readonly grantedBytes: bigint;
  readonly heldBytes: bigint;
  readonly foreignBytes: bigint;
  readonly missingBytes: bigint;
  readonly unchargedBytes: bigint;
  readonly shortBytes: bigint;
  /** Of processes that have another amount than they are charged. */
  readonly pids: readonly number[];
}

export interface Account {
  readonly id: bigint;
  readonly pid: number;
  readonly state: string;
  readonly heldBytes: bigint;
  readonly extents: bigint;
  readonly tenant: string;
  readonly overdue: number;
  readonly servedLast: boolean;
}

export interface Entitlement {
  readonly guaranteedBytes: bigint;
  readonly limitBytes: bigint;
  readonly weight: number;
  readonly held: boolean;
}

export class Admin {
  readonly #client;
  /** On the socket that takes changes. */
  readonly #operator;

  constructor(directory: string) {
    const { AdminService } = loadPackage();
    const options = { 'grpc.use_local_subchannel_pool': 1 };
    const [client, operator] = [SERVICE_SOCKET, ADMIN_SOCKET].map(socket => {
      const target = `unix:${join(directory, socket)}`;
      return new AdminService(target, credentials.createInsecure(), options);
    });
    this.#client = client as NonNullable<typeof client>;
    this.#operator = operator as NonNullable<typeof operator>;
  }

  async pool(): Promise<Pool> {
    const pool = await call<GetPoolResponse__Output>(done => this.#client.getPool({}, done));
    return {
      usedBytes: BigInt(pool.usedBytes),
      freeBytes: BigInt(pool.freeBytes),
      promisedBytes: BigInt(pool.promisedBytes),
      extents: BigInt(pool.extentCount),
      sessions: pool.sessionCount,
      caches: pool.cacheCount,
      waitingGrants: pool.waitingGrantCount,
      grantsMet: BigInt(pool.grantedTotalCount),
    };
  }

  /** The books held against the device, as of the latest look. */
  async deviceCheck(): Promise<DeviceCheck> {
    const pool = await call<GetPoolResponse__Output>(done => this.#client.getPool({}, done));
    const check = pool.deviceCheck as DeviceCheck__Output;
    return {
      looks: Number(check.lookCount),
      unavailable: check.unavailable,
      usedBytes: BigInt(check.deviceUsedBytes),
      grantedBytes: BigInt(check.grantedBytes),
      heldBytes: BigInt(check.heldBytes),
      foreignBytes: BigInt(check.foreignBytes),
      missingBytes: BigInt(check.missingBytes),
      unchargedBytes: BigInt(check.unchargedBytes),
      shortBytes: BigInt(check.shortBytes),
      pids: check.differences.map(({ pid }) => pid),
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
      tenant: session.tenant,
      overdue: session.overdueCount,
      servedLast: session.servedLast,
    }));
  }

  async tenant(
    name: string,
  ): Promise<{ heldBytes: bigint; evictedBytes: bigint; overdue: number }> {
    const list = await this.tenants();
    const tenant = list.tenants.find(other => other.name === name);
    if (tenant === undefined) throw new Error(`no tenant ${name}`);
    return {
      heldBytes: BigInt(tenant.heldBytes),
      evictedBytes: BigInt(tenant.evictedBytes),
      overdue: tenant.overdueCount,
    };
  }

  /** On top of whatever is there now. */
  async setTenant(name: string, { guaranteedBytes, limitBytes, weight, held }: Entitlement) {
    const { revision } = await this.tenants();
    const entitlement = {
      guaranteedBytes: `${guaranteedBytes}`,
      limitBytes: `${limitBytes}`,
      weight,
      held,
    };
    await call<SetTenantResponse__Output>(done =>
      this.#operator.setTenant({ name, revision, entitlement }, done),
    );
  }

  async evict(sessionId: bigint, kill = false): Promise<{ pid: number; killed: boolean }> {
    const request = { sessionId: `${sessionId}`, kill };
    const answer = await call<EvictSessionResponse__Output>(done =>
      this.#operator.evictSession(request, done),
    );
    return { pid: answer.session?.pid ?? 0, killed: answer.killed };
  }

  private tenants(): Promise<ListTenantsResponse__Output> {
    return call<ListTenantsResponse__Output>(done => this.#client.listTenants({}, done));
  }

  close(): void {
    this.#client.close();
    this.#operator.close();
  }
}

function call<Answer>(start: (done: requestCallback<Answer>) => unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    start((error, answer) => (error ? reject(error) : resolve(answer as Answer)));
  });
}
