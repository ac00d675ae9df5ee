/** Closing gives everything back, whatever the mapper is doing at that moment. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Admin } from '../support/admin.js';
import { MIB, startDaemon, type TestDaemon } from '../support/daemon.js';
import { connectTo, SMALL, TOKENS_PER_PAGE } from './support.js';

/** The mapper returns what is above high water no sooner than this after extents have come. */
const SURPLUS_DELAY_MS = 150;
const PAGES = 192;

let daemon: TestDaemon;
let admin: Admin;

beforeAll(async () => {
  daemon = await startDaemon({ poolBytes: '512MiB' });
  admin = new Admin(daemon.directory);
});
afterAll(async () => {
  admin.close();
  await daemon.stop();
});

describe('closing a session', () => {
  it('waits for what the mapper is just releasing, so that nothing stays on the account', async () => {
    const session = await connectTo(daemon.directory, {
      lowWaterBytes: 2n * MIB,
      highWaterBytes: 4n * MIB,
    });
    const maxTokens = (PAGES / 4) * TOKENS_PER_PAGE;
    const cache = await session.createCache({ ...SMALL, slots: 4, maxTokens });
    for (let slot = 0; slot < 4; slot++) await cache.allocate(maxTokens, { waitMs: 10_000 });
    await sleep(SURPLUS_DELAY_MS);
    // Everything is in the magazine at once, far above high water: the mapper begins to release it.
    await cache.close();
    await session.close();
    // This process lives on: were anything left, it would stay charged.
    expect((await admin.pool()).usedBytes).toBe(0n);
  });
});
