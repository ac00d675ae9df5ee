// Drops a session without closing it, collects it, then lets the event loop run dry.
import { cacheOptions, openPair, openSession, planOf } from './load.mjs';

for (let i = 0; i < 20; i++) openSession();
{
  // A dropped session with a mapped cache, whose server is closed properly.
  const { server, session, device } = await openPair(process.argv[2], 16);
  const cache = session.createCache(planOf(4), cacheOptions);
  await cache.allocate(100, 0);
  server.close();
  device.close();
}
global.gc();
await new Promise(resolve => setTimeout(resolve, 50));
global.gc();
console.log('dry');
