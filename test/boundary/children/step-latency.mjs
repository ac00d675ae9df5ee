// The time of `step` over 256 live slots with nothing to do; prints microseconds as JSON.
import { cacheOptions, openPair, planOf } from './load.mjs';

const CALLS = 100_000;
const microseconds = nanoseconds => Number(nanoseconds) / 1000;
const { session, server } = await openPair(process.argv[2], 256);
const cache = session.createCache(planOf(256), cacheOptions);
for (let i = 0; i < 256; i++) await cache.allocate(100, 0);
const lengths = new Int32Array(256).fill(100);
for (let i = 0; i < CALLS / 10; i++) cache.step(lengths);

const times = new Float64Array(CALLS);
const outcomes = [0, 0, 0, 0];
for (let i = 0; i < CALLS; i++) {
  const begin = process.hrtime.bigint();
  const outcome = cache.step(lengths);
  times[i] = microseconds(process.hrtime.bigint() - begin);
  outcomes[outcome]++;
}
// What the two clock readings cost by themselves.
const clock = Float64Array.from({ length: CALLS }, () => {
  const begin = process.hrtime.bigint();
  return microseconds(process.hrtime.bigint() - begin);
});
clock.sort();
times.sort(); // in place, as numbers
const at = (sorted, share) => sorted[Math.floor(CALLS * share)];
console.log(
  JSON.stringify({
    p50: at(times, 0.5),
    p99: at(times, 0.99),
    p999: at(times, 0.999),
    max: times[CALLS - 1],
    clockP50: at(clock, 0.5),
    outcomes,
  }),
);
await session.close();
server.close();
