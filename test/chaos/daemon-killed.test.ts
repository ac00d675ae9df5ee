/** The daemon is killed while several clients work on it, and comes back. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOOKS } from '../../daemon/core/device-check.js';
import { Admin } from '../support/admin.js';
import { type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { afterLooks, Engine, LIMIT_MS, pauseAndCompare, sum } from './engines.js';

const ENGINES = 3;
const PASSES = 8;

let daemon: SpawnedDaemon;
let admin: Admin;
let engines: Engine[] = [];

beforeEach(async () => {
  // Less than all of them want: they wait for each other, too.
  daemon = await spawnDaemon({ poolBytes: '48MiB', deviceCheckMs: 50, logLevel: 'fatal' });
  admin = new Admin(daemon.directory);
});
afterEach(async () => {
  for (const { child } of engines) child.kill('SIGKILL');
  engines = [];
  admin.close();
  await daemon.stop();
});

const isBack = async (engine: Engine): Promise<boolean> => {
  const { connected, reconnects } = await engine.report();
  return connected && reconnects.every(count => count > 0);
};

describe('a daemon killed under load', () => {
  it('finds its clients still computing, and all of their memory again, to the byte', {
    timeout: 120_000,
  }, async () => {
    const order = { directory: daemon.directory, name: 'engine', sessions: 1 };
    engines = await Promise.all(Array.from({ length: ENGINES }, () => Engine.start(order)));
    await Promise.all(engines.map(engine => engine.progress(PASSES)));
    await daemon.kill();
    // On what they have: nobody is there to give them more.
    await Promise.all(engines.map(engine => engine.progress(PASSES)));
    // One goes on while the daemon comes back. What the others then have on the books came there by
    // adoption alone.
    const still = engines.slice(1);
    const before = await Promise.all(still.map(engine => engine.pause()));
    // With room for all that they could ever want: whoever is first back may take at once, and what then
    // found no room would be given up where it is idle, and not adopted.
    await daemon.restart({ poolBytes: '160MiB' });
    for (const engine of engines) await until('it is back', () => isBack(engine), LIMIT_MS);
    const after = await Promise.all(still.map(engine => engine.report()));
    expect(after.map(({ adopted }) => adopted)).toEqual(before.map(({ held }) => held));
    for (const { child } of still) child.send('go');
    await Promise.all(engines.map(engine => engine.progress(PASSES)));

    const reports = await pauseAndCompare(admin, engines);
    const held = reports.reduce((total, report) => total + sum(report.held), 0n);
    expect(held).toBeGreaterThan(0n);
    // And so says the kernel.
    expect(await afterLooks(admin, LOOKS + 1)).toMatchObject({
      heldBytes: held,
      missingBytes: 0n,
      unchargedBytes: 0n,
      pids: [],
    });
    expect(reports.map(({ wrong }) => wrong)).toEqual(engines.map(() => 0));
    expect(await admin.sessions()).toHaveLength(ENGINES);
    await Promise.all(engines.map(engine => engine.close()));
    await until('nothing is left', async () => (await admin.pool()).sessions === 0, LIMIT_MS);
    expect((await admin.pool()).usedBytes).toBe(0n);
  });
});
