/**
 * The memory bench: the same requests through different managers of the same pool. kvspan is the
 * real one: daemon, session, extents mapped. The others keep real books and take no memory.
 */
import { defineBench } from '../harness/bench.js';
import type { Tick } from '../harness/progress.js';
import type { Rig } from '../harness/rig.js';
import type { Row } from '../report/results.js';
import { loadTraces, type NamedTrace } from '../trace/load.js';
import { BlockAllocator } from './block-allocator.js';
import { LayeredPages } from './layered-pages.js';
import type { MemoryManager, MemoryShape } from './manager.js';
import { Preallocated } from './preallocated.js';
import { replay } from './replay.js';
import { caseName, replayRows } from './rows.js';
import { type MemoryScale, memoryScale, shapeOf } from './scale.js';
import { Spans } from './spans.js';

interface Context {
  readonly rig: Rig;
  readonly scale: MemoryScale;
  readonly traces: readonly NamedTrace[];
}

type Opener = (shape: MemoryShape, rig: Rig) => MemoryManager | Promise<MemoryManager>;

const BLOCK_TOKENS = 16;

/** Every trace through one manager. */
const through =
  (open: Opener) =>
  async ({ rig, scale, traces }: Context, tick: Tick): Promise<Row[]> => {
    const rows: Row[] = [];
    for (const [index, trace] of traces.entries()) {
      const shape = shapeOf(scale, trace);
      const manager = await open(shape, rig);
      const done = (share: number) => tick((index + share) / traces.length);
      const result = await replay(trace.requests, manager, scale.batchMax, done);
      await manager.close();
      const name = caseName(trace.name, trace.requests.length, shape);
      rows.push(...replayRows(name, manager.name, result));
    }
    return rows;
  };

/** A session for each trace, with the marks of an engine: closed, it has given everything back. */
const openSpans =
  (growth: 'geometric' | 'linear'): Opener =>
  async (shape, rig) =>
    Spans.open(await rig.connect('bench-memory'), shape, growth);

export const memoryBench = defineBench<Context>({
  name: 'memory',
  description: 'a trace through several memory managers: what is mapped, wasted, and fits at once',
  serveArguments: site => ['--pool-bytes', String(memoryScale(site).poolBytes)],
  async open(rig) {
    const scale = memoryScale(rig);
    const limit = rig.options.requests ?? scale.requestsMax;
    return { rig, scale, traces: await loadTraces(rig.options.traces, limit) };
  },
  parts: {
    preallocated: through(shape => new Preallocated(shape)),
    blocks: through(shape => new BlockAllocator(shape, BLOCK_TOKENS)),
    layered: through(shape => new LayeredPages(shape)),
    kvspan: through(openSpans('geometric')),
    linear: through(openSpans('linear')),
  },
});
