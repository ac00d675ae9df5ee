/** The three tenants of the bench, and what they are entitled to in each way of sharing. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, type requestCallback } from '@grpc/grpc-js';
import type { ListTenantsResponse__Output } from '../../proto/generated/kvspan/v1/ListTenantsResponse.js';
import type { SetTenantResponse__Output } from '../../proto/generated/kvspan/v1/SetTenantResponse.js';
import { loadPackage } from '../../proto/load.js';
import { ADMIN_SOCKET } from '../../proto/paths.js';
import { PAGE_BYTES } from '../allocator/plan.js';

export const tenants = ['one', 'two', 'three'] as const;
export type Tenant = (typeof tenants)[number];

export interface Entitlement {
  readonly guaranteedBytes: number;
  readonly limitBytes: number;
  /** The guarantee is never lent. */
  readonly held: boolean;
}

/** How the pool is shared: what is compared. */
export interface Way {
  readonly name: string;
  readonly entitlement: (poolBytes: number) => Entitlement;
  /** Who serves; the others' processes have nothing to do. */
  readonly serving: readonly Tenant[];
}

const pagesOf = (bytes: number): number => Math.floor(bytes / PAGE_BYTES) * PAGE_BYTES;

export const thirdOf = (poolBytes: number): number => pagesOf(poolBytes / tenants.length);

/** Of each tenant, where there are guarantees: together three quarters of the pool. */
export const guaranteeOf = (poolBytes: number): number => pagesOf(poolBytes / 4);

const nothing = (poolBytes: number): Entitlement => ({
  guaranteedBytes: 0,
  limitBytes: poolBytes,
  held: false,
});

export const GUARANTEED = 'kvspan, guarantees of a quarter';
export const UNGUARANTEED = 'kvspan, no guarantees';
export const STATIC = 'static thirds';
export const ALONE = 'one process alone';

export const ways: readonly Way[] = [
  {
    name: STATIC,
    entitlement: pool => ({
      guaranteedBytes: thirdOf(pool),
      limitBytes: thirdOf(pool),
      held: true,
    }),
    serving: tenants,
  },
  {
    name: GUARANTEED,
    entitlement: pool => ({ ...nothing(pool), guaranteedBytes: guaranteeOf(pool) }),
    serving: tenants,
  },
  { name: UNGUARANTEED, entitlement: nothing, serving: tenants },
  { name: ALONE, entitlement: nothing, serving: ['one'] },
];

/** Arguments of `kvspan serve` for a daemon with these tenants; the file goes with this process. */
export function tenantArguments(): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'kvspan-elasticity-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'kvspan.toml');
  const tables = tenants.map(name => `[[tenants]]\nname = "${name}"\nclients = ["${name}"]\n`);
  writeFileSync(file, tables.join('\n'));
  return ['--config', file];
}

/** The hand of the operator: on the socket that takes changes. */
export class Operator {
  readonly #client;

  constructor(socketDirectory: string) {
    const { AdminService } = loadPackage();
    const target = `unix:${join(socketDirectory, ADMIN_SOCKET)}`;
    const options = { 'grpc.use_local_subchannel_pool': 1 };
    this.#client = new AdminService(target, credentials.createInsecure(), options);
  }

  /** First everybody comes down to nothing, so that no sum on the way is above the pool. */
  async entitle(of: (tenant: Tenant) => Entitlement, poolBytes: number): Promise<void> {
    for (const tenant of tenants) await this.#set(tenant, nothing(poolBytes));
    for (const tenant of tenants) await this.#set(tenant, of(tenant));
  }

  close(): void {
    this.#client.close();
  }

  async #set(name: Tenant, { guaranteedBytes, limitBytes, held }: Entitlement): Promise<void> {
    const { revision } = await call<ListTenantsResponse__Output>(done =>
      this.#client.listTenants({}, done),
    );
    const entitlement = {
      guaranteedBytes: String(guaranteedBytes),
      limitBytes: String(limitBytes),
      weight: 1,
      held,
    };
    await call<SetTenantResponse__Output>(done =>
      this.#client.setTenant({ name, revision, entitlement }, done),
    );
  }
}

function call<Answer>(start: (done: requestCallback<Answer>) => unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    start((error, answer) => (error ? reject(error) : resolve(answer as Answer)));
  });
}
