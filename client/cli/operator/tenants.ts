/** `kvspan tenants`: what each is entitled to and has; `kvspan tenants set`: another entitlement. */
import { badField } from '../../../proto/errors.js';
import { parseSize, resolveSize, showBytes, SIZE_FORMS } from '../../../proto/size.js';
import type { Entitlement, TenantView } from '../../typescript/admin-views.js';
import { type CommonOptions, ExitCode, printJson, withAdmin } from './context.js';
import { limitOf, renderTable, shown } from './render.js';

/** As in the daemon, which would refuse others too. */
const WEIGHT_MAX = 1_000_000;

export interface SetOptions extends CommonOptions {
  readonly guaranteed?: string;
  readonly limit?: string;
  readonly weight?: string;
  /** `held` or `lent`: what becomes of the guarantee while it is unused. */
  readonly guarantee?: string;
  readonly revision?: bigint;
}

export function listTenants(options: CommonOptions): Promise<number> {
  return withAdmin('tenants', options, async admin => {
    const [list, { poolBytes }] = await Promise.all([admin.tenants(), admin.pool()]);
    if (options.json === true) printJson(list);
    else process.stdout.write(`${table(list.tenants, poolBytes)}\nrevision ${list.revision}\n`);
    return ExitCode.done;
  });
}

export function setTenant(name: string, options: SetOptions): Promise<number> {
  return withAdmin('tenants set', options, async admin => {
    const [list, { poolBytes }] = await Promise.all([admin.tenants(), admin.pool()]);
    const before = list.tenants.find(tenant => tenant.name === name);
    if (before === undefined)
      throw badField(
        'name',
        name,
        `${list.tenants.map(tenant => tenant.name).join(', ')}; tenants are named in the daemon's ` +
          'file (kvspan serve --config), read at its start',
      );
    const wanted = changed(before, options, poolBytes);
    const revision = options.revision ?? list.revision;
    const answer = await admin.setTenant(name, wanted, revision);
    if (options.json === true) printJson(answer);
    else process.stdout.write(report(before, answer.tenant, poolBytes));
    return ExitCode.done;
  });
}

/** What is not named stays as it is. */
function changed(before: Entitlement, options: SetOptions, poolBytes: bigint): Entitlement {
  const { guaranteed, limit, weight, guarantee } = options;
  if ([guaranteed, limit, weight, guarantee].every(option => option === undefined))
    throw badField('options', 'none', '--guaranteed, --limit, --weight, --guarantee');
  const guaranteedBytes =
    guaranteed === undefined
      ? before.guaranteedBytes
      : sizeOf('guaranteed', guaranteed, poolBytes, 0n);
  // The daemon would name the limit, of which nothing was said.
  if (guaranteed !== undefined && limit === undefined && guaranteedBytes > before.limitBytes)
    throw badField(
      'guaranteed',
      guaranteed,
      `at most the tenant's limit, ${showBytes(before.limitBytes)}; --limit sets another`,
    );
  return {
    guaranteedBytes,
    limitBytes: limit === undefined ? before.limitBytes : sizeOf('limit', limit, poolBytes, null),
    weight: weight === undefined ? before.weight : weightOf(weight),
    held: guarantee === undefined ? before.held : heldOf(guarantee),
  };
}

/** `zero`: what "0" means, where that is allowed. */
function sizeOf(field: string, text: string, poolBytes: bigint, zero: bigint | null): bigint {
  if (zero !== null && text.trim() === '0') return zero;
  const size = parseSize(text);
  if (size === null) throw badField(field, text, `${SIZE_FORMS} of the pool`);
  return resolveSize(size, poolBytes);
}

function weightOf(text: string): number {
  const weight = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  if (weight < 1 || weight > WEIGHT_MAX)
    throw badField('weight', text, `a whole number 1 .. ${WEIGHT_MAX}`);
  return weight;
}

function heldOf(text: string): boolean {
  if (text !== 'held' && text !== 'lent') throw badField('guarantee', text, 'held, lent');
  return text === 'held';
}

function report(before: TenantView, after: TenantView, poolBytes: bigint): string {
  const told = (one: TenantView) =>
    `guaranteed ${showBytes(one.guaranteedBytes)} ${one.held ? 'held' : 'lent'}, ` +
    `limit ${limitOf(one.limitBytes, poolBytes)}, weight ${one.weight}`;
  return `${shown(after.name)}\n  was  ${told(before)}\n  now  ${told(after)}\n`;
}

function table(tenants: readonly TenantView[], poolBytes: bigint): string {
  const columns = [
    { title: 'TENANT' },
    { title: 'HELD', align: 'right' },
    { title: 'PROMISED', align: 'right' },
    { title: 'BORROWED', align: 'right' },
    { title: 'GUARANTEED', align: 'right' },
    { title: 'UNUSED IS' },
    { title: 'LIMIT', align: 'right' },
    { title: 'WEIGHT', align: 'right' },
    { title: 'SESSIONS', align: 'right' },
    { title: 'WAITING', align: 'right' },
    { title: 'OVERDUE', align: 'right' },
  ] as const;
  const rows = tenants.map(tenant => [
    shown(tenant.name),
    showBytes(tenant.heldBytes),
    showBytes(tenant.promisedBytes),
    showBytes(tenant.borrowedBytes),
    showBytes(tenant.guaranteedBytes),
    tenant.held ? 'held' : 'lent',
    limitOf(tenant.limitBytes, poolBytes),
    `${tenant.weight}`,
    `${tenant.sessionCount}`,
    `${tenant.waitingGrantCount}`,
    `${tenant.overdueCount}`,
  ]);
  return renderTable(columns, rows);
}
