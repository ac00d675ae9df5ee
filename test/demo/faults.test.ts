/** That the demo would notice: faults put between the engine and a real cache, and real leaks. */
import { openSync, closeSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cache, connect, type Session } from '../../client/typescript/index.js';
import { Attention } from '../../bench/demo/attention.js';
import type { EngineCache } from '../../bench/demo/cache.js';
import { type DemoDaemon, startDaemon } from '../../bench/demo/daemon.js';
import { Engine } from '../../bench/demo/engine.js';
import { type DemoGeometry, presets } from '../../bench/demo/geometry.js';
import { LeakWatch } from '../../bench/demo/leaks.js';
import { Pattern } from '../../bench/demo/pattern.js';
import { engineCache } from '../../bench/demo/rows.js';
import { lengthOf } from '../../bench/demo/scheduler.js';

const tiny = presets['tiny'] as DemoGeometry;
const START_MS = 240_000;
const requests = [40, 70, 10].map(promptTokens => ({
  arrivalMs: 0,
  promptTokens,
  answerTokens: 12,
}));

let daemon: DemoDaemon;
let session: Session;
let cache: Cache;

beforeAll(async () => {
  daemon = await startDaemon({ backend: 'host', serveArguments: [] });
  session = await connect({ socketDirectory: daemon.socketDirectory });
  const { layout, layers, kvHeads, headDim, dtype } = tiny;
  cache = await session.createCache({
    layout,
    layers,
    kvHeads,
    headDim,
    dtype,
    slots: 4,
    maxTokens: 1024,
  });
}, START_MS);

afterAll(async () => {
  await session.close();
  await daemon.stop();
}, START_MS);

async function replay(change: (rows: EngineCache, liveTokens: () => number) => EngineCache) {
  const liveTokens = () =>
    engine.scheduler.running.reduce((sum, request) => sum + lengthOf(request), 0);
  const rows = change(engineCache(cache, tiny), liveTokens);
  const pattern = new Pattern(tiny, 1);
  const attention = new Attention(rows, tiny, pattern, 1);
  const engine: Engine = new Engine({
    requests,
    batchMax: 4,
    slots: 4,
    cache: rows,
    pattern,
    attention,
    onProgress: () => {},
  });
  await engine.run();
  return { engine, attention };
}

describe('a replay', () => {
  it("finds nothing in a memory that is right, and its own count of live bytes is the core's", async () => {
    const { engine, attention } = await replay((rows, liveTokens) => ({
      ...rows,
      stats: () => {
        const stats = rows.stats();
        expect(stats.liveBytes).toBe(BigInt(liveTokens() * 1024));
        return stats;
      },
    }));
    expect(engine.mismatches).toBe(0);
    expect(attention.maxRelativeError).toBeLessThan(1e-4);
    expect(cache.stats().liveSlots).toBe(0);
  });

  it('finds one flipped bit in one row', async () => {
    let writes = 0;
    const { engine } = await replay(rows => ({
      ...rows,
      writeTokens: (slot, firstToken, data) => {
        writes += 1;
        const torn = data.slice();
        if (writes === 5) torn[100]! ^= 4;
        rows.writeTokens(slot, firstToken, torn);
      },
    }));
    expect(engine.mismatches).toBe(1);
  });

  it('finds rows that were never written, in the rows and in the attention', async () => {
    const { engine, attention } = await replay(rows => ({
      ...rows,
      writeTokens: (slot, firstToken, data) => {
        if (data.byteLength > 1024)
          rows.writeTokens(slot, firstToken, new Uint8Array(data.byteLength));
        else rows.writeTokens(slot, firstToken, data);
      },
    }));
    expect(engine.mismatches).toBe(40 + 70 + 10);
    expect(attention.maxRelativeError).toBeGreaterThan(0.1);
  });

  it('preempts when steps run short, and still ends every request with its tokens right', async () => {
    let calls = 0;
    const short = { outcome: 'short', driverCalls: 0 } as const;
    const { engine } = await replay(rows => ({
      ...rows,
      tryStep: lengths =>
        ++calls % 5 === 0 && lengths.filter(length => length > 0).length > 1
          ? short
          : rows.tryStep(lengths),
      step: async () => short,
    }));
    expect(engine.scheduler).toMatchObject({ completed: 3, failed: 0 });
    expect(engine.scheduler.preempted).toBeGreaterThan(0);
    expect(engine.recomputedTokens).toBeGreaterThan(0);
    expect(engine.mismatches).toBe(0);
  });
});

describe('the count of leaks', () => {
  it('sees memory that a session still holds', { timeout: START_MS }, async () => {
    const watch = new LeakWatch(daemon);
    await watch.begin();
    const other = await connect({ socketDirectory: daemon.socketDirectory });
    const leaky = await other.createCache({
      layers: 2,
      kvHeads: 2,
      headDim: 64,
      dtype: 'bf16',
      slots: 1,
      maxTokens: 4096,
    });
    await leaky.allocate(4096);
    const leaks = await watch.find(other.id, 0);
    expect(leaks.extents).toBeGreaterThan(0);
    expect(leaks.bytes).toBeGreaterThanOrEqual(4 * 1024 * 1024);
    await other.close();
    expect(await watch.find(other.id)).toEqual({ extents: 0, bytes: 0, fds: 0 });
    watch.close();
  });

  it('sees a file left open', { timeout: START_MS }, async () => {
    const watch = new LeakWatch(daemon);
    await watch.begin();
    const fd = openSync('/proc/self/status', 'r');
    expect((await watch.find(session.id, 0)).fds).toBe(1);
    closeSync(fd);
    expect((await watch.find(session.id)).fds).toBe(0);
    watch.close();
  });
});
