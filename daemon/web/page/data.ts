/** What the daemon answers (daemon/web/state.ts), as this page uses it. Sizes in bytes. */

export interface Pool {
  readonly poolBytes: number;
  readonly usedBytes: number;
  readonly freeBytes: number;
  /** Of the free bytes. */
  readonly promisedBytes: number;
  readonly extentCount: number;
  readonly waitingGrantCount: number;
  readonly waitingBytes: number;
}

export interface Tenant {
  readonly name: string;
  readonly guaranteedBytes: number;
  readonly limitBytes: number;
  readonly weight: number;
  readonly held: boolean;
  readonly heldBytes: number;
  readonly borrowedBytes: number;
  readonly waitingGrantCount: number;
}

export interface Session {
  readonly id: number;
  readonly pid: number;
  readonly name: string;
  readonly tenant: string;
  readonly state: 'open' | 'lingering';
  readonly evicted: boolean;
  readonly heldBytes: number;
  readonly limitBytes: number;
  readonly extentCount: number;
  readonly cacheCount: number;
  readonly waitingGrantCount: number;
  readonly overdueCount: number;
  readonly servedLast: boolean;
}

export interface Snapshot {
  readonly at: number;
  readonly version: string;
  readonly sampleEveryMs: number;
  readonly device: { readonly backend: string; readonly name: string; readonly driver: string };
  readonly pool: Pool;
  readonly tenants: readonly Tenant[];
  readonly sessions: readonly Session[];
}

export interface Sample {
  readonly at: number;
  readonly usedBytes: number;
  readonly waitingBytes: number;
  readonly heldByTenant: Readonly<Record<string, number>>;
}

export interface Cache {
  readonly id: number;
  readonly name: string;
  readonly geometry: {
    readonly layout: string;
    readonly layers: number;
    readonly kvHeads: number;
    readonly headDim: number;
    readonly dtype: string;
    readonly slots: number;
    readonly maxTokens: number;
  };
  readonly plan: { readonly baseAddress: number; readonly totalBytes: number };
}

async function ask<Answer>(path: string): Promise<Answer> {
  const response = await fetch(`/api/${path}`, { cache: 'no-store' });
  if (!response.ok) throw new Error((await response.text()).trim());
  return (await response.json()) as Answer;
}

export const askSnapshot = (): Promise<Snapshot> => ask('snapshot');

export const askHistory = async (): Promise<readonly Sample[]> =>
  (await ask<{ samples: readonly Sample[] }>('history')).samples;

export const askCaches = async (session: number): Promise<readonly Cache[]> =>
  (await ask<{ caches: readonly Cache[] }>(`caches?session=${session}`)).caches;
