import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Admin } from '../support/admin.js';
import { childScript } from '../support/children.js';
import { type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';

const KILLS = 50;
/** The daemon's fd table and Node's own pools settle with the first clients. */
const WARM_UP_KILLS = 3;

let daemon: SpawnedDaemon;
let admin: Admin;

beforeAll(async () => {
  daemon = await spawnDaemon({ poolBytes: '96MiB' });
  admin = new Admin(daemon.directory);
});
afterAll(async () => {
  admin.close();
  await daemon.stop();
});

/** Starts a serving process and kills it after `ms`, wherever it then is. */
async function killOne(ms: number): Promise<void> {
  const child = fork(childScript('test/client/children/churner'), [daemon.directory], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const gone = once(child, 'exit');
  await once(child, 'message');
  await sleep(ms);
  child.kill('SIGKILL');
  await gone;
}

async function atBaseline(): Promise<boolean> {
  const pool = await admin.pool();
  return pool.usedBytes === 0n && pool.extents === 0n && pool.sessions === 0 && pool.caches === 0;
}

describe('a client killed by SIGKILL', () => {
  it(`leaves nothing behind, ${KILLS} times at random moments`, { timeout: 400_000 }, async () => {
    for (let count = 0; count < WARM_UP_KILLS; count++) await killOne(50);
    await until('the books are empty', atBaseline);
    const fds = daemon.openFds();
    for (let count = 0; count < KILLS; count += 2) {
      await Promise.all([killOne(Math.random() * 150), killOne(Math.random() * 150)]);
    }
    await until('the books are empty again', atBaseline);
    // They were killed at work, not before it.
    expect((await admin.pool()).grantsMet).toBeGreaterThan(BigInt(KILLS));
    await until('the daemon has the fds it had', () => daemon.openFds() <= fds);
    expect(daemon.openFds()).toBe(fds);
  });
});
