import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cache, Session } from '../../client/typescript/index.js';
import { startDaemon, type TestDaemon } from '../support/daemon.js';
import { connectTo, SMALL } from './support.js';

const SLOTS = 256;
const CALLS = 100_000;
const WARM_UP_CALLS = 5_000;
const P99_US_MAX = 10;
/** Rounds are repeated on a busy machine: what is claimed is what the path costs, not its neighbours. */
const ROUNDS = 5;

let daemon: TestDaemon;
let session: Session;
let cache: Cache;
const lengths = new Int32Array(SLOTS);

beforeAll(async () => {
  daemon = await startDaemon({ poolBytes: '1GiB' });
  session = await connectTo(daemon.directory, { grantWaitMs: 5_000 });
  cache = await session.createCache({ ...SMALL, slots: SLOTS });
  for (let slot = 0; slot < SLOTS; slot++) lengths[await cache.allocate(100)] = 100;
});
afterAll(async () => {
  await session.close();
  await daemon.stop();
});

function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}

function histogram(name: string, us: Float64Array): string {
  const shares = [0.5, 0.9, 0.99, 0.999, 1];
  const at = shares.map(share => `p${share * 100} ${quantile(us, share).toFixed(2)}`);
  return `${name}: ${CALLS} calls, ${SLOTS} live slots, us: ${at.join(', ')}`;
}

describe('the hot path', () => {
  it(`tryStep with nothing to do: p99 under ${P99_US_MAX} us`, () => {
    let best = Infinity;
    for (let round = 0; round < ROUNDS && best >= P99_US_MAX; round++) {
      const us = new Float64Array(CALLS);
      for (let call = 0; call < WARM_UP_CALLS; call++) cache.tryStep(lengths);
      for (let call = 0; call < CALLS; call++) {
        const start = performance.now();
        cache.tryStep(lengths);
        us[call] = (performance.now() - start) * 1000;
      }
      us.sort();
      best = Math.min(best, quantile(us, 0.99));
      process.stdout.write(`${histogram('tryStep', us)}\n`);
    }
    expect(best).toBeLessThan(P99_US_MAX);
  });

  it(`step, awaited, with nothing to do: p99 under ${P99_US_MAX} us`, async () => {
    let best = Infinity;
    for (let round = 0; round < ROUNDS && best >= P99_US_MAX; round++) {
      const us = new Float64Array(CALLS);
      for (let call = 0; call < WARM_UP_CALLS; call++) await cache.step(lengths);
      for (let call = 0; call < CALLS; call++) {
        const start = performance.now();
        await cache.step(lengths);
        us[call] = (performance.now() - start) * 1000;
      }
      us.sort();
      best = Math.min(best, quantile(us, 0.99));
      process.stdout.write(`${histogram('step', us)}\n`);
    }
    expect(best).toBeLessThan(P99_US_MAX);
  });

  it('allocates nothing: the heap grows by less than a byte a call', () => {
    const outcomes = new Set<unknown>();
    const grown = Array.from({ length: ROUNDS }, () => {
      const before = process.memoryUsage().heapUsed;
      for (let call = 0; call < CALLS; call++) outcomes.add(cache.tryStep(lengths));
      return process.memoryUsage().heapUsed - before;
    });
    expect(outcomes.size).toBe(1);
    process.stdout.write(
      `tryStep: heap grew by ${grown.join(', ')} bytes in ${CALLS} calls each\n`,
    );
    // The median: the engine's compilers also use the heap, and a collection makes it shrink, each in a
    // round or two. A call that allocated would show in all of them, with 16 bytes or more.
    expect(grown.toSorted((a, b) => a - b)[(ROUNDS - 1) / 2]).toBeLessThan(CALLS);
  });
});
