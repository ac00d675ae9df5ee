// Memory that flows: another session wants more than is free, and this one preempts for it.
import { connect } from 'kvspan';

const quiet = { lowWaterBytes: 0n, highWaterBytes: 0n }; // no magazine ahead of need

// In an engine these would be two processes; a process may have several sessions too.
const busy = await connect({
  ...quiet,
  name: 'busy',
  // Magazine, idle spans and look-ahead have been given back already; `bytes` are missing still.
  onReclaim: (bytes, deadlineMs) => {
    let freed = 0n;
    while (freed < bytes && live.length > 1) {
      const youngest = live.pop() as number;
      freed += BigInt(cache.mappedTokens(youngest) * cache.rowBytes);
      cache.free(youngest);
    }
    console.log(`asked with a deadline: ${deadlineMs > 0}; preempted for it: ${freed > 0n}`);
    return freed; // how much it was; it is given back as soon as the GPU is done with it
  },
});

// 8 KiB a token. A fifth of the pool for each of four requests.
const poolTokens = Number(busy.server.poolBytes / 8192n);
const fifth = Math.floor(poolTokens / 5);
const model = { layers: 4, kvHeads: 8, headDim: 64, dtype: 'bf16' } as const;
const shape = { ...model, slots: 8, maxTokens: poolTokens };
const cache = await busy.createCache(shape);
const live: number[] = [];
for (let request = 0; request < 4; request += 1) live.push(await cache.allocate(fifth));

// The other one wants two fifths. It waits, at most so long, while the daemon asks the first.
const other = await connect({ ...quiet, name: 'other', grantWaitMs: 10_000 });
const otherCache = await other.createCache(shape);
const slot = await otherCache.allocate(2 * fifth);
console.log(`the other has its memory: ${otherCache.mappedTokens(slot) >= 2 * fifth}`);

await other.close();
await busy.close();
