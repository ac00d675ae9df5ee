/** Dashboard and alerts name metrics that there are. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Metrics } from '../../daemon/telemetry/metrics.js';
import { ledgerOf } from '../core/support.js';

const folder = new URL('../../docs/monitoring', import.meta.url).pathname;
const textOf = (name: string) => readFileSync(join(folder, name), 'utf8');
const promtool = ['/usr/bin/promtool', '/usr/local/bin/promtool'].find(existsSync);

async function exported(): Promise<Set<string>> {
  const device = {
    backend: 'host',
    ordinal: 0,
    name: 'x',
    uuid: '',
    driver: 'x',
    granularityBytes: 1n << 21n,
    totalBytes: 1n << 34n,
    freeBytes: 1n << 34n,
  } as const;
  const metrics = new Metrics({
    ledger: ledgerOf(),
    device,
    version: '0',
  });
  metrics.measureProcess();
  const names = (await metrics.text()).matchAll(/^# TYPE (\S+) (\S+)$/gm);
  return new Set(
    [...names].flatMap(([, name = '', kind]) =>
      kind === 'histogram' ? ['_bucket', '_sum', '_count'].map(end => name + end) : [name],
    ),
  );
}

describe.each(['alerts.yaml', 'dashboard.json'])('%s', name => {
  it('names no metric that the daemon does not export', async () => {
    const there = await exported();
    const named = textOf(name).match(/\b(kvspan|nodejs)_[a-z0-9_]+/g) ?? [];
    expect(named.length).toBeGreaterThan(8);
    expect(named.filter(one => !there.has(one))).toEqual([]);
  });
});

it.skipIf(promtool === undefined)('the rules are rules (promtool; Debian: prometheus)', () => {
  const said = execFileSync(promtool ?? '', ['check', 'rules', join(folder, 'alerts.yaml')]);
  expect(said.toString()).toContain('SUCCESS: 8 rules found');
});
