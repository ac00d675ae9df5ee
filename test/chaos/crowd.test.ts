/** Sixty-four sessions at once, of four processes, on a pool that is too small for all they want. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOOKS } from '../../daemon/core/device-check.js';
import { Admin } from '../support/admin.js';
import { type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { afterLooks, Engine, LIMIT_MS, pauseAndCompare } from './engines.js';

const PROCESSES = 4;
const SESSIONS_EACH = 16;
const PASSES = 5;

let daemon: SpawnedDaemon;
let admin: Admin;
let engines: Engine[] = [];

beforeEach(async () => {
  daemon = await spawnDaemon({ poolBytes: '192MiB', deviceCheckMs: 50, logLevel: 'fatal' });
  admin = new Admin(daemon.directory);
});
afterEach(async () => {
  for (const { child } of engines) child.kill('SIGKILL');
  engines = [];
  admin.close();
  await daemon.stop();
});

describe('64 sessions at once', () => {
  it('all get on, none sees what another wrote, the books are exact, and nothing is left', {
    timeout: 120_000,
  }, async () => {
    const order = { directory: daemon.directory, name: 'crowd', sessions: SESSIONS_EACH };
    engines = await Promise.all(Array.from({ length: PROCESSES }, () => Engine.start(order)));
    expect(await admin.sessions()).toHaveLength(PROCESSES * SESSIONS_EACH);
    await Promise.all(engines.map(engine => engine.progress(PASSES)));
    const reports = await pauseAndCompare(admin, engines);
    expect(await afterLooks(admin, LOOKS + 1)).toMatchObject({ missingBytes: 0n, pids: [] });
    expect(reports.map(({ wrong }) => wrong)).toEqual(engines.map(() => 0));
    // Half of them close, half of them are killed.
    engines.slice(0, 2).forEach(({ child }) => child.kill('SIGKILL'));
    await Promise.all(engines.slice(2).map(engine => engine.close()));
    await until('nothing is left', async () => (await admin.pool()).sessions === 0, LIMIT_MS);
    expect(await admin.pool()).toMatchObject({ usedBytes: 0n, extents: 0n, caches: 0 });
  });
});
