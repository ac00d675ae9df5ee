// process.exit while `argv[3]` is under way on its thread.
import { cacheOptions, native, openPair, pages, planOf } from './load.mjs';

const { session, server, connection } = await openPair(process.argv[2], 256);
const cache = session.createCache(planOf(32), cacheOptions);
const { slot } = await cache.allocate(4000, 0);
const request = {
  dtype: 'fp32',
  queryHeads: 8,
  kvHeads: 1,
  headDim: 64,
  kLane: 0,
  vLane: 0,
  kOffset: 0,
  vOffset: 512,
  scale: 1,
};
const stuck = native.createHostStream();
native.hostStreamSubmit(stuck);
const work = {
  allocate: () => Array.from({ length: 28 }, () => cache.allocate(4000, 0)),
  attend: () =>
    Array.from({ length: 4 }, () =>
      cache.attend(slot, { ...request, queries: new Float32Array(8 * 64 * 64).fill(1) }),
    ),
  giveBack: () => session.giveBack(1n << 40n),
  grant: () => server.grant(connection, 2n, ...pages(2000, 1000), 5000),
  connect: () => (session.disconnect(), session.connect(process.argv[2], 'again', 5000)),
  close: () => session.close(),
  // Waits for a fence that is never reached.
  destroyForever: () => (cache.free(slot, stuck), cache.destroy()),
  closeForever: () => (cache.free(slot, stuck), session.close()),
};
void work[process.argv[3]]();
setTimeout(() => process.exit(4), Number(process.argv[4]));
