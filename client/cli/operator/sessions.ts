/** `kvspan sessions` and `kvspan caches`: who holds what, and where it lies. */
import { showBytes } from '../../../proto/size.js';
import type { CacheView, SessionView } from '../../typescript/admin-views.js';
import { type CommonOptions, ExitCode, printJson, withAdmin } from './context.js';
import { duration, limitOf, renderTable, shown } from './render.js';

export function sessions(options: CommonOptions): Promise<number> {
  return withAdmin('sessions', options, async admin => {
    const [list, { poolBytes }] = await Promise.all([admin.sessions(), admin.pool()]);
    if (options.json === true) printJson(list);
    else if (list.length === 0) process.stdout.write('no sessions\n');
    else process.stdout.write(sessionTable(list, poolBytes));
    return ExitCode.done;
  });
}

/** The largest first: whoever looks wants to know who has the memory. */
export function bySize(list: readonly SessionView[]): SessionView[] {
  return list.toSorted((left, right) => {
    if (left.heldBytes !== right.heldBytes) return left.heldBytes < right.heldBytes ? 1 : -1;
    return Number(left.sessionId - right.sessionId);
  });
}

/** What is to be known of a session beside its figures. */
export function notes(session: SessionView): string {
  const all = [
    session.state === 'evicted' ? 'evicted' : '',
    session.state === 'lingering' ? 'connection gone, process alive' : '',
    session.servedLast ? 'served last' : '',
    session.overdueCount > 0 ? `${session.overdueCount}x overdue` : '',
  ];
  return all.filter(note => note !== '').join(', ');
}

export function sessionTable(list: readonly SessionView[], poolBytes: bigint): string {
  const columns = [
    { title: 'SESSION', align: 'right' },
    { title: 'PID', align: 'right' },
    { title: 'USER', align: 'right' },
    { title: 'NAME' },
    { title: 'TENANT' },
    { title: 'HELD', align: 'right' },
    { title: 'PROMISED', align: 'right' },
    { title: 'LIMIT', align: 'right' },
    { title: 'EXTENTS', align: 'right' },
    { title: 'CACHES', align: 'right' },
    { title: 'WAITING', align: 'right' },
    { title: 'AGE', align: 'right' },
    { title: 'NOTE' },
  ] as const;
  const rows = bySize(list).map(session => [
    `${session.sessionId}`,
    `${session.pid}`,
    `${session.uid}`,
    shown(session.name),
    shown(session.tenant),
    showBytes(session.heldBytes),
    showBytes(session.promisedBytes),
    limitOf(session.limitBytes, poolBytes),
    `${session.extentCount}`,
    `${session.cacheCount}`,
    `${session.waitingGrantCount}`,
    duration(session.ageMs),
    notes(session),
  ]);
  return renderTable(columns, rows);
}

export interface CachesOptions extends CommonOptions {
  readonly session?: bigint;
}

export function caches(options: CachesOptions): Promise<number> {
  return withAdmin('caches', options, async admin => {
    const list = await admin.caches(options.session ?? 0n);
    if (options.json === true) printJson(list);
    else if (list.length === 0) process.stdout.write('no caches\n');
    else process.stdout.write(cacheTable(list));
    return ExitCode.done;
  });
}

function cacheTable(list: readonly CacheView[]): string {
  const columns = [
    { title: 'CACHE', align: 'right' },
    { title: 'SESSION', align: 'right' },
    { title: 'NAME' },
    { title: 'GEOMETRY' },
    { title: 'LAYOUT' },
    { title: 'SLOTS', align: 'right' },
    { title: 'TOKENS', align: 'right' },
    { title: 'ADDRESS' },
    { title: 'RESERVED', align: 'right' },
  ] as const;
  const rows = list.map(({ cacheId, sessionId, name, geometry, plan }) => [
    `${cacheId}`,
    `${sessionId}`,
    shown(name),
    `${geometry.layers} x ${geometry.kvHeads} x ${geometry.headDim} ${geometry.dtype}`,
    geometry.layout,
    `${geometry.slots}`,
    `${geometry.maxTokens}`,
    `0x${plan.baseAddress.toString(16)}`,
    showBytes(plan.totalBytes),
  ]);
  return renderTable(columns, rows);
}
