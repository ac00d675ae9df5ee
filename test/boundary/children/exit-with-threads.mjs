// process.exit with a server, a session, a mapper and their threads all running.
import { cacheOptions, openPair, planOf } from './load.mjs';

const { session } = await openPair(process.argv[2], 16);
const cache = session.createCache(planOf(4), cacheOptions);
await cache.allocate(100, 0);
process.exit(3);
