/** `kvspan status`: the daemon, its device and its pool, on one screen. */
import { showBytes } from '../../../proto/size.js';
import type { AdminClient } from '../../typescript/admin.js';
import type { PoolView, TenantView } from '../../typescript/admin-views.js';
import { type CommonOptions, ExitCode, printJson, withAdmin } from './context.js';
import { bar, counted, duration, percent, renderPairs } from './render.js';

const BAR_WIDTH = 40;

export function status(options: CommonOptions): Promise<number> {
  return withAdmin('status', options, async admin => {
    const [pool, { tenants }] = await Promise.all([admin.pool(), admin.tenants()]);
    if (options.json === true) printJson({ ...pool, socketDirectory: admin.socketDirectory });
    else process.stdout.write(renderPairs(lines(admin, pool, tenants)));
    return ExitCode.done;
  });
}

function lines(
  { socketDirectory }: AdminClient,
  pool: PoolView,
  tenants: readonly TenantView[],
): [string, string][] {
  const used = bar([{ bytes: pool.usedBytes, mark: '#' }], pool.poolBytes, BAR_WIDTH);
  const use = `${showBytes(pool.usedBytes)} of ${showBytes(pool.poolBytes)} in use`;
  return [
    ['daemon', `kvspan ${pool.version}, up ${duration(pool.uptimeMs)}, in ${socketDirectory}`],
    ['device', deviceLine(pool)],
    ['pool', `[${used}] ${percent(pool.usedBytes, pool.poolBytes)}`],
    ['', `${use}, ${showBytes(pool.promisedBytes)} promised`],
    ['extents', `${pool.extentCount}`],
    ['clients', `${counted(pool.sessionCount, 'session')}, ${counted(pool.cacheCount, 'cache')}`],
    ...(tenants.length > 1 ? [['tenants', `${tenants.length}`] as [string, string]] : []),
    ['waiting', waitingLine(pool)],
    [
      'since start',
      `${counted(pool.grantedCount, 'grant')}, together ${showBytes(pool.grantedBytes)}, ` +
        `${showBytes(pool.returnedBytes)} given back, ${pool.refusedCount} refused`,
    ],
  ];
}

function deviceLine({ backend, deviceName, driver, deviceBytes }: PoolView): string {
  const what = backend === deviceName ? backend : `${backend}, ${deviceName}`;
  return `${what}, ${showBytes(deviceBytes)}, driver ${driver}`;
}

function waitingLine({ waitingGrantCount, waitingBytes }: PoolView): string {
  return waitingGrantCount === 0
    ? 'nobody'
    : `${counted(waitingGrantCount, 'grant')} for ${showBytes(waitingBytes)}`;
}
