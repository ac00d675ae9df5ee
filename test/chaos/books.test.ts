/** The books against the kernel: what processes really have, whatever they say. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOOKS } from '../../daemon/core/device-check.js';
import { connectTo } from '../client/support.js';
import { Admin } from '../support/admin.js';
import { PAGE, privateDirectory, type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { startProxy } from '../support/proxy.js';
import { until } from '../support/until.js';

const LIMIT_MS = 20_000;

let daemon: SpawnedDaemon;
let admin: Admin;
let folder: string;

beforeEach(async () => {
  folder = privateDirectory();
  const logFile = join(folder, 'log');
  daemon = await spawnDaemon({
    poolBytes: '64MiB',
    deviceCheckMs: 20,
    logFile,
    logLevel: 'info',
  });
  admin = new Admin(daemon.directory);
});
afterEach(async () => {
  admin.close();
  await daemon.stop();
  rmSync(folder, { recursive: true });
});

const told = (what: string) => readFileSync(join(folder, 'log'), 'utf8').includes(what);

/** What they say once so many looks more have been made. */
async function afterLooks(looks: number) {
  const first = (await admin.deviceCheck()).looks;
  await until(
    'more looks',
    async () => (await admin.deviceCheck()).looks >= first + looks,
    LIMIT_MS,
  );
  return admin.deviceCheck();
}

describe('the books and the kernel', () => {
  it('agree on a client that gives back what it says it does', async () => {
    const session = await connectTo(daemon.directory);
    await session.acquire([4, 2]);
    await session.giveBack(2n * PAGE);
    const held = session.stats().heldBytes;
    await until('it is granted', async () => (await admin.pool()).usedBytes === held, LIMIT_MS);
    expect(await afterLooks(LOOKS + 1)).toMatchObject({
      unavailable: '',
      grantedBytes: held,
      heldBytes: held,
      missingBytes: 0n,
      unchargedBytes: 0n,
      pids: [],
    });
    expect(told('the books and the device part')).toBe(false);
    await session.close();
  });

  it('part over memory that is gone but was never told of', async () => {
    const proxy = await startProxy(daemon.directory);
    const session = await connectTo(proxy.directory);
    await session.acquire([8]);
    await until('all has arrived', () => session.stats().requestsInFlight === 0);
    // Nobody can be told from now on.
    await proxy[Symbol.asyncDispose]();
    await session.giveBack(3n * PAGE);
    const parted = async () => (await admin.deviceCheck()).missingBytes === 3n * PAGE;
    await until('they part', parted, LIMIT_MS);
    expect((await admin.deviceCheck()).pids).toEqual([process.pid]);
    await until('the log says so', () => told('the books and the device part'), LIMIT_MS);
    await session.close();
  });

  it('part over memory of an earlier daemon that its client has not declared', async () => {
    const mute = await connectTo(daemon.directory, { reconnect: false });
    await mute.acquire([5]);
    await daemon.kill();
    await daemon.restart();
    const session = await connectTo(daemon.directory);
    const parted = async () => (await admin.deviceCheck()).unchargedBytes === 5n * PAGE;
    await until('they part', parted, LIMIT_MS);
    expect(await admin.deviceCheck()).toMatchObject({ grantedBytes: 0n, pids: [process.pid] });
    await Promise.all([mute.close(), session.close()]);
  });
});
