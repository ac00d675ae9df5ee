/** A device that has less memory than the pool says: others have taken it. */
import { afterEach, describe, expect, it } from 'vitest';
import { type Overrides, serve } from '../../daemon/main.js';
import { connectTo, decode, rows, sameBytes, SMALL, TOKENS_PER_PAGE } from '../client/support.js';
import { Admin } from '../support/admin.js';
import { MIB, PAGE, privateDirectory, type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { library, onCuda, setStandIn, useStandIn } from './support.js';

useStandIn();

/** Of the device, as far as anybody can be granted them; the pool is larger. */
const DEVICE_PAGES = 20;
/** Each daemon keeps one to itself (native/core/device/cuda_device.cpp, keepExporting). */
const KEPT_PAGES = 2;
let daemon: SpawnedDaemon | null = null;

afterEach(async () => {
  await daemon?.stop();
  daemon = null;
});

/** The daemon learns of its device at the start; the other process takes its part after that. */
async function crowdedDaemon(): Promise<SpawnedDaemon> {
  setStandIn('SHARED', `test-${process.pid}`);
  setStandIn('BYTES', String((DEVICE_PAGES + KEPT_PAGES) * Number(PAGE)));
  daemon = await spawnDaemon(onCuda({ poolBytes: DEVICE_PAGES * Number(PAGE) }));
  return daemon;
}

const startOf = (more: Overrides) =>
  serve({ socketDirectory: privateDirectory(), ...onCuda(more) }, {});

describe('a device with too little memory', () => {
  it('is no device for a pool that is larger than all of it', async () => {
    setStandIn('BYTES', String(32n * MIB));
    await expect(startOf({ poolBytes: '64MiB', cudaLibrary: library })).rejects.toMatchObject({
      reason: 'poolTooLarge',
      exitCode: 6,
    });
  });

  it('lacks what is needed: said by name, with what to do', async () => {
    setStandIn('LACKS', 'fd');
    await expect(startOf({ cudaLibrary: library })).rejects.toMatchObject({
      reason: 'noDevice',
      exitCode: 5,
      message: expect.stringContaining('file descriptors'),
    });
  });

  it('refuses with DEVICE_EXHAUSTED, keeps the books right, and grants again later', {
    timeout: 240_000,
  }, async () => {
    const { directory } = await crowdedDaemon();
    const admin = new Admin(directory);
    // A daemon of another pool on the same GPU, or an engine's own tensors: eight pages.
    const neighbour = await spawnDaemon(onCuda({ poolBytes: DEVICE_PAGES * Number(PAGE) }));
    const taker = await connectTo(neighbour.directory);
    await taker.acquire([8]);

    const session = await connectTo(directory);
    const cache = await session.createCache(SMALL);
    const slot = await cache.allocate(10 * TOKENS_PER_PAGE);
    cache.writeTokens(slot, 0, rows(0, 10 * TOKENS_PER_PAGE, 4));
    // Two are left of the device: they come, and are of use, but are not what was asked for.
    const failure = session.acquire([4]);
    await expect(failure).rejects.toMatchObject({ code: 'DEVICE_EXHAUSTED', retryable: true });
    expect(session.stats().heldBytes).toBe(12n * PAGE);
    await expect(session.acquire([1])).rejects.toMatchObject({ code: 'DEVICE_EXHAUSTED' });
    const step = await cache.step(new Map([[slot, 13 * TOKENS_PER_PAGE]]));
    expect(step).toMatchObject({ outcome: 'short', shortSlots: [slot] });
    await expect(cache.allocate(5 * TOKENS_PER_PAGE)).rejects.toMatchObject({
      code: 'DEVICE_EXHAUSTED',
    });
    expect(cache.length(slot)).toBe(10 * TOKENS_PER_PAGE);
    await until('the books say what is held', async () => {
      const { usedBytes } = await admin.pool();
      return usedBytes === session.stats().heldBytes;
    });

    await taker.close();
    await neighbour.stop();
    expect(await decode(cache, slot, 14 * TOKENS_PER_PAGE, 4)).toBe(14 * TOKENS_PER_PAGE);
    const all = cache.readTokens(slot, 0, 14 * TOKENS_PER_PAGE);
    expect(sameBytes(all, rows(0, 14 * TOKENS_PER_PAGE, 4))).toBe(true);
    await session.close();
    await until('all is given back', async () => (await admin.pool()).usedBytes === 0n);
    admin.close();
  });
});
