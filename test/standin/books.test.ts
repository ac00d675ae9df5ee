/** The books against a GPU, as its driver's NVML sees it: all that is used, by whomever. */
import { afterEach, describe, expect, it } from 'vitest';
import { LOOKS } from '../../daemon/core/device-check.js';
import { loadNative } from '../../native/index.js';
import { connectTo } from '../client/support.js';
import { Admin } from '../support/admin.js';
import { MIB, PAGE, type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { startProxy } from '../support/proxy.js';
import { until } from '../support/until.js';
import { library, onCuda, setStandIn, useStandIn } from './support.js';

const LIMIT_MS = 20_000;
/** What the daemon keeps for itself: the page that it holds exported. */
const OWN_BYTES = PAGE;

useStandIn();

let daemon: SpawnedDaemon;
let admin: Admin;
afterEach(async () => {
  admin.close();
  await daemon.stop();
});

async function start(): Promise<void> {
  setStandIn('SHARED', `books-${process.pid}`);
  setStandIn('BYTES', String(128n * MIB));
  daemon = await spawnDaemon(onCuda({ deviceCheckMs: 20 }));
  admin = new Admin(daemon.directory);
}

const missing = async () => (await admin.deviceCheck()).missingBytes;

async function afterLooks(looks: number) {
  const first = (await admin.deviceCheck()).looks;
  await until(
    'more looks',
    async () => (await admin.deviceCheck()).looks >= first + looks,
    LIMIT_MS,
  );
  return admin.deviceCheck();
}

describe('the books and the GPU', () => {
  it('agree; what is used besides is foreign', async () => {
    await start();
    const session = await connectTo(daemon.directory);
    await session.acquire([3]);
    expect(await afterLooks(LOOKS + 1)).toMatchObject({
      unavailable: '',
      usedBytes: 3n * PAGE + OWN_BYTES,
      heldBytes: 3n * PAGE,
      foreignBytes: OWN_BYTES,
      missingBytes: 0n,
      shortBytes: 0n,
    });
    await session.close();
  });

  it('part when other programs take what the pool still promises', async () => {
    await start();
    const session = await connectTo(daemon.directory);
    await session.acquire([3]);
    const other = loadNative().openRawDevice({ backend: 'cuda', ordinal: 0, library });
    other.create(90n * MIB);
    // 128 MiB there are, of which 98 are used; 58 of the pool's 64 are still promised.
    const parted = async () => (await admin.deviceCheck()).shortBytes === 28n * MIB;
    await until('they part', parted, LIMIT_MS);
    expect((await admin.deviceCheck()).foreignBytes).toBe(90n * MIB + OWN_BYTES);
    other.close();
    await until('they agree', async () => (await admin.deviceCheck()).shortBytes === 0n, LIMIT_MS);
    await session.close();
  });

  it('part over memory that is gone but was never told of', async () => {
    await start();
    const proxy = await startProxy(daemon.directory);
    const session = await connectTo(proxy.directory);
    await session.acquire([8]);
    await until('all has arrived', () => session.stats().requestsInFlight === 0);
    await proxy[Symbol.asyncDispose]();
    await session.giveBack(8n * PAGE);
    await until('they part', async () => (await missing()) > 0n, LIMIT_MS);
    expect(await missing()).toBe(8n * PAGE - OWN_BYTES);
    await session.close();
  });

  it('are not compared, and the daemon serves, where there is no NVML', async () => {
    setStandIn('LACKS', 'nvml');
    await start();
    await until(
      'it is said',
      async () => /nvml: .*Driver Not Loaded/.test((await admin.deviceCheck()).unavailable),
      LIMIT_MS,
    );
    const session = await connectTo(daemon.directory);
    await session.acquire([1]);
    expect((await admin.deviceCheck()).looks).toBe(0);
    await session.close();
  });
});
