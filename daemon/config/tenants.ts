/** Tenants as the configuration's file has them, and what they are once the pool is known. */
import { readFileSync } from 'node:fs';
import { KvspanError } from '../../proto/errors.js';
import { TenantTable } from '../core/tenants.js';
import { PAGE_BYTES, bytes, type Bytes, type TenantSpec } from '../core/types.js';
import { StartupError } from '../exit-codes.js';
import type { TenantConfig } from './schema.js';
import { resolveSize, type Size } from '../../proto/size.js';

const ID_MAX = 2 ** 32 - 2;

/** A line of /etc/passwd or /etc/group, split. */
type Entry = readonly string[];

const entriesOf = (path: string): Entry[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .map(line => line.split(':'));

function refuse(tenant: TenantConfig, key: string, given: unknown, allowed: string): never {
  const message = `tenants.${tenant.name}.${key} is ${JSON.stringify(given)}, allowed: ${allowed}`;
  throw new StartupError('config', message, 'the [[tenants]] tables stand in the --config file');
}

/** The third field of the entry with this name, which in both files is its number. */
function idOf(tenant: TenantConfig, key: 'users' | 'groups', given: string | number): number {
  if (typeof given === 'number') return given;
  if (/^[0-9]{1,10}$/.test(given) && Number(given) <= ID_MAX) return Number(given);
  const path = key === 'users' ? '/etc/passwd' : '/etc/group';
  const id = entriesOf(path).find(([name]) => name === given)?.[2];
  return id === undefined ? refuse(tenant, key, given, `names of ${path}, or numbers`) : Number(id);
}

/** The kernel tells one group of a peer; who else is in a group stands in /etc/group. */
function membersOf(gids: readonly number[]): number[] {
  if (gids.length === 0) return [];
  const names = entriesOf('/etc/group')
    .filter(([, , gid]) => gid !== undefined && gids.includes(Number(gid)))
    .flatMap(([, , , members]) => members?.split(',') ?? []);
  return entriesOf('/etc/passwd')
    .filter(([name]) => name !== undefined && names.includes(name))
    .map(([, , uid]) => Number(uid));
}

function sizeOf(size: Size | null, whole: bigint, otherwise: bigint): Bytes {
  const given = size === null ? otherwise : resolveSize(size, whole);
  return bytes(given - (given % PAGE_BYTES));
}

function specOf(tenant: TenantConfig, pool: Bytes): TenantSpec {
  const gids = tenant.groups.map(group => idOf(tenant, 'groups', group));
  const limit = sizeOf(tenant.limit, pool, pool);
  return {
    name: tenant.name,
    everybody: tenant.users.length === 0 && gids.length === 0,
    uids: tenant.users.map(user => idOf(tenant, 'users', user)),
    gids,
    memberUids: membersOf(gids),
    clients: tenant.clients,
    guaranteedBytes: sizeOf(tenant.guaranteed, pool, 0n),
    limitBytes: limit < pool ? limit : pool,
    weight: tenant.weight,
    held: tenant.guarantee === 'held',
  };
}

/** Throws a StartupError of reason `config` that names the key. */
export function tenantsOf(tenants: readonly TenantConfig[], poolBytes: Bytes): TenantSpec[] {
  const specs = tenants.map(tenant => specOf(tenant, poolBytes));
  try {
    // What can be kept and what cannot is decided in one place; here it is only told as of the file.
    void new TenantTable({ poolBytes, tenants: specs });
  } catch (error) {
    if (!(error instanceof KvspanError)) throw error;
    const message = error.message.replace(/^(tenants\.[^:]*)_bytes:/, '$1:');
    throw new StartupError('config', message, 'change the [[tenants]] of the --config file', error);
  }
  return specs;
}
