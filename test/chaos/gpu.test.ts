/** The books against a real GPU: what NVML says follows what clients take and give back. */
import { describe, expect, it } from 'vitest';
import { LOOKS } from '../../daemon/core/device-check.js';
import { connectTo } from '../client/support.js';
import { whyNoGpu } from '../native/programs.js';
import { Admin } from '../support/admin.js';
import { MIB, spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { afterLooks, LIMIT_MS } from './engines.js';

const GIB = 1024n * MIB;
/** A driver may account in larger pieces, and other programs may take and give a little meanwhile. */
const SLACK = 64n * MIB;

describe('the books and a real GPU', () => {
  it('agree while memory is taken and given back', { timeout: 60_000 }, async ({ skip }) => {
    const why = whyNoGpu();
    if (why !== null) skip(why);
    await using daemon = await spawnDaemon({
      backend: 'cuda',
      poolBytes: '4GiB',
      deviceCheckMs: 50,
    });
    const admin = new Admin(daemon.directory);
    // Its context is made here, before anything is compared.
    const session = await connectTo(daemon.directory);
    const empty = await afterLooks(admin, LOOKS);
    expect(empty).toMatchObject({ unavailable: '', grantedBytes: 0n, heldBytes: 0n });
    await session.acquire([0, 0, 0, 0, 0, 0, 0, 0, 0, 1], { waitMs: 10_000 });
    const taken = async () => (await admin.deviceCheck()).heldBytes === GIB;
    await until('it is held', taken, LIMIT_MS);
    const full = await afterLooks(admin, LOOKS);
    expect(full).toMatchObject({ grantedBytes: GIB, missingBytes: 0n, shortBytes: 0n });
    expect(full.usedBytes - empty.usedBytes).toBeGreaterThanOrEqual(GIB - SLACK);
    expect(full.usedBytes - empty.usedBytes).toBeLessThanOrEqual(GIB + SLACK);
    expect(full.foreignBytes).toBe(full.usedBytes - GIB);
    await session.giveBack(GIB);
    await until('it is free', async () => (await admin.pool()).usedBytes === 0n, LIMIT_MS);
    const after = await afterLooks(admin, LOOKS);
    expect(full.usedBytes - after.usedBytes).toBeGreaterThanOrEqual(GIB - SLACK);
    await session.close();
    admin.close();
  });
});
