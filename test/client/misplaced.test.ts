/** A cache that cannot have the addresses that the daemon planned, and cannot say so either. */
import { afterEach, expect, it, vi } from 'vitest';
import { Service } from '../../client/typescript/service.js';
import { KvspanError } from '../../proto/errors.js';
import { Admin } from '../support/admin.js';
import { spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { connectTo, SMALL } from './support.js';

afterEach(() => {
  vi.restoreAllMocks();
});

it('is refused and forgotten: the session does not make it again when it comes back', async () => {
  await using one = await spawnDaemon();
  await using other = await spawnDaemon();
  const first = await connectTo(one.directory);
  // Both daemons plan from the same address on: in one process only one of two caches can lie there.
  const cache = await first.createCache(SMALL);
  const session = await connectTo(other.directory);
  const lost = new KvspanError('DEADLINE_EXCEEDED', 'on purpose');
  const place = vi.spyOn(Service.prototype, 'placeCache').mockRejectedValueOnce(lost);
  await expect(session.createCache(SMALL)).rejects.toBe(lost);
  expect(place).toHaveBeenCalledOnce();
  place.mockRestore();

  const back = new Promise(resolve => session.on('reconnected', resolve));
  await other.kill();
  await other.restart();
  await back;
  const admin = new Admin(other.directory);
  await until('the session', async () => (await admin.pool()).sessions === 1);
  expect((await admin.pool()).caches).toBe(0);
  admin.close();
  await cache.close();
  await session.close();
  await first.close();
});
