/** Tenants from the file's tables to the operator's calls, over the daemon's real services. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { loadConfig } from '../../daemon/config/load.js';
import { tenantsOf } from '../../daemon/config/tenants.js';
import { bytes } from '../../daemon/core/types.js';
import type { SetTenantRequest } from '../../proto/generated/kvspan/v1/SetTenantRequest.js';
import {
  call,
  PAGE,
  refusal,
  scriptedDaemon,
  temporaryFolder,
  type ScriptedDaemon,
} from './harness.js';
import { openSession, until } from './session-calls.js';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const POOL = bytes(64n * PAGE);
const folder = temporaryFolder();
afterAll(() => folder.remove());

const specsOf = (text: string) => {
  const config = join(folder.path, 'kvspan.toml');
  writeFileSync(config, text);
  return tenantsOf(loadConfig({ config }, {}).tenants, POOL);
};

describe('tenants in the file', () => {
  test('are tables with users, groups, clients and sizes; what is left out has a default', () => {
    const [chat, rest] = specsOf(`
      [[tenants]]
      name = "chat"
      users = ["root", 1001]
      groups = [77]
      clients = ["llama"]
      guaranteed = "25%"
      limit = "64MiB"
      weight = 3
      guarantee = "held"
      [[tenants]]
      name = "rest"`);
    expect(chat).toEqual({
      name: 'chat',
      everybody: false,
      uids: [0, 1001],
      gids: [77],
      memberUids: [],
      clients: ['llama'],
      guaranteedBytes: 16n * PAGE,
      limitBytes: 32n * PAGE,
      weight: 3,
      held: true,
    });
    expect(rest).toMatchObject({
      everybody: true,
      guaranteedBytes: 0n,
      limitBytes: POOL,
      weight: 1,
    });
  });

  test.each([
    ['guaranteed = "60%"\n[[tenants]]\nname = "b"\nguaranteed = "60%"', 'tenants.a.guaranteed:'],
    ['guaranteed = "60%"\nlimit = "50%"', 'tenants.a.limit:'],
    ['weight = 0', 'tenants[0].weight is 0, allowed: a whole number 1'],
    ['users = ["nobody-of-this-name"]', 'tenants.a.users is "nobody-of-this-name"'],
    ['groups = ["no-group-of-this-name"]', 'tenants.a.groups is "no-group-of-this-name"'],
    ['guarantee = "kept"', 'tenants[0].guarantee is "kept", allowed: one of lent, held'],
    ['guaranteed = "much"', 'tenants[0].guaranteed is "much"'],
    ['wieght = 3', 'wieght'],
    ['[[tenants]]\nname = "a"', 'tenants.name: got "a", allowed: each name once'],
  ])('are refused by key: %s', (text, message) => {
    expect(() => specsOf(`[[tenants]]\nname = "a"\n${text}`)).toThrow(message);
  });

  test('can be no flag and no variable', () => {
    expect(loadConfig({}, { KVSPAN_TENANTS: 'chat' }).tenants).toEqual([]);
    expect(() => loadConfig({ tenants: 'chat' as never }, {})).toThrow('[[tenants]] tables');
  });
});

let daemon: ScriptedDaemon;
afterEach(() => daemon?.stop());

/** The scripted clients are called `client 1`, `client 2`, in the order of their hellos. */
const two = [
  { name: 'chat', clients: ['client 1'], guaranteed: '32MiB' },
  { name: 'batch', clients: ['client 2'] },
];

const entitlement = (pages: bigint, limit = 64n) => ({
  guaranteedBytes: String(pages * PAGE),
  limitBytes: String(limit * PAGE),
  weight: 1,
  held: false,
});
const list = () => call(daemon.clients.admin, 'listTenants', {});
const set = (request: SetTenantRequest) => call(daemon.operator, 'setTenant', request);

describe('the admin service', () => {
  test('without tenants lists the one that everybody is of', async () => {
    daemon = await scriptedDaemon();
    openSession(daemon);
    expect(await list()).toMatchObject({
      revision: '1',
      tenants: [
        {
          name: 'default',
          entitlement: { guaranteedBytes: '0', limitBytes: String(64n * PAGE), weight: 1 },
          sessionCount: 1,
        },
      ],
    });
  });

  test('says whose each session is and what each tenant has', async () => {
    daemon = await scriptedDaemon({ tenants: two });
    const [, batch] = [openSession(daemon), openSession(daemon)];
    await batch.acquire({ grantId: '1', orderCounts: [5] });
    const { sessions } = (await call(daemon.clients.admin, 'listSessions', {})) as never as {
      sessions: { tenant: string; overdueCount: number; servedLast: boolean }[];
    };
    expect(sessions.map(({ tenant }) => tenant)).toEqual(['chat', 'batch']);
    expect(sessions[1]).toMatchObject({ overdueCount: 0, servedLast: false });
    expect((await list())?.tenants?.[1]).toMatchObject({
      name: 'batch',
      heldBytes: String(5n * PAGE),
      borrowedBytes: String(5n * PAGE),
    });
  });

  test('lets nobody of no tenant in, and says so', async () => {
    daemon = await scriptedDaemon({ tenants: two });
    [1, 2].forEach(() => openSession(daemon));
    expect(() => openSession(daemon)).toThrow(/TENANT_UNKNOWN.*client 3.*chat, batch/);
  });

  test('changes a tenant, at once, and hands out the new revision', async () => {
    daemon = await scriptedDaemon({ tenants: two });
    const [, batch] = [openSession(daemon), openSession(daemon)];
    await set({ name: 'batch', revision: '1', entitlement: entitlement(0n, 4n) });
    const error = await refusal(batch.acquire({ grantId: '1', orderCounts: [5], waitMs: 1_000 }));
    expect(error).toMatchObject({ code: 'TENANT_LIMIT', askedBytes: 5n * PAGE });
    await batch.acquire({ grantId: '2', orderCounts: [4] });
    const waiting = batch.acquire({ grantId: '3', orderCounts: [4], waitMs: 20_000 });
    await until(async () => (await batch.pool()).waitingGrantCount === 1);
    const changed = await set({ name: 'batch', revision: '2', entitlement: entitlement(0n, 8n) });
    expect(changed).toMatchObject({ revision: '3', tenant: { name: 'batch' } });
    expect((await waiting).grant).toMatchObject({ extentCount: 4 });
  });

  test.each<[string, SetTenantRequest, string, string]>([
    [
      'stale',
      { name: 'chat', revision: '7', entitlement: entitlement(1n) },
      'REVISION_STALE',
      'revision',
    ],
    [
      'of nobody',
      { name: 'x', revision: '1', entitlement: entitlement(1n) },
      'TENANT_UNKNOWN',
      'name',
    ],
    ['empty', { name: 'chat', revision: '1' }, 'INVALID_ARGUMENT', 'entitlement'],
    [
      'above the pool',
      { name: 'batch', revision: '1', entitlement: entitlement(60n) },
      'INVALID_ARGUMENT',
      'guaranteed_bytes',
    ],
    [
      'limited under its guarantee',
      { name: 'batch', revision: '1', entitlement: entitlement(4n, 3n) },
      'INVALID_ARGUMENT',
      'limit_bytes',
    ],
    [
      'without weight',
      { name: 'batch', revision: '1', entitlement: { ...entitlement(4n), weight: 0 } },
      'INVALID_ARGUMENT',
      'weight',
    ],
  ])(
    'refuses a change that is %s, and nothing has changed',
    async (_what, request, code, field) => {
      daemon = await scriptedDaemon({ tenants: two });
      const before = await list();
      expect(await refusal(set(request))).toMatchObject({ code, field });
      expect(await list()).toEqual(before);
    },
  );

  test('takes no change where other users may connect', async () => {
    daemon = await scriptedDaemon({ tenants: two });
    const request = { name: 'chat', revision: '1', entitlement: entitlement(1n) };
    const error = await refusal(call(daemon.clients.admin, 'setTenant', request));
    expect(error).toMatchObject({ code: 'PERMISSION_DENIED' });
    expect((await list())?.revision).toBe('1');
  });
});
