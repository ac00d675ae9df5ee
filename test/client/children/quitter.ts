/** A serving process that ends in the middle of its work without closing anything. */
import { connectTo, SMALL } from '../support.js';

const session = await connectTo(process.argv[2] as string);
const cache = await session.createCache(SMALL);
const slot = await cache.allocate(2000);
void cache.allocate(1000);
void session.acquire([3]);
cache.tryStep(new Map([[slot, 2001]]));
process.exit(7);
