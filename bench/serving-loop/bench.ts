/**
 * The serving loop: a trace through the same engine twice, over kvspan's spans and over blocks,
 * with real append, prefill and decode kernels. The cache has all layers of the model; the kernels
 * compute a few of them, and what a pass of all would take is extrapolated from these.
 */
import { type Gpu, noKernels, openGpu } from '../attention/gpu.js';
import { defineBench } from '../harness/bench.js';
import type { Tick } from '../harness/progress.js';
import type { Rig } from '../harness/rig.js';
import type { MemoryShape } from '../memory/manager.js';
import { caseName } from '../memory/rows.js';
import { type MemoryScale, memoryScale, shapeOf } from '../memory/scale.js';
import type { Row } from '../report/results.js';
import { loadTraces, type NamedTrace } from '../trace/load.js';
import { ServingEngine } from './engine.js';
import { PassKernels } from './kernels.js';
import { servingRows } from './rows.js';
import { attentionShape, type KvSource, pagedSource, spanSource } from './sources.js';

const BATCH_MAX = 64;
const PREFILL_BUDGET = 2048;
const LAYERS_RUN = 4;

interface Context {
  readonly rig: Rig;
  readonly gpu: Gpu;
  readonly scale: MemoryScale;
  readonly traces: readonly NamedTrace[];
  readonly warmupPasses: number;
  readonly passes: number;
}

type Opener = (context: Context, shape: MemoryShape, layersRun: number) => Promise<KvSource>;

const through =
  (open: Opener) =>
  async (context: Context, tick: Tick): Promise<Row[]> => {
    const rows: Row[] = [];
    for (const [index, trace] of context.traces.entries()) {
      const done = (share: number) => tick((index + share) / context.traces.length);
      rows.push(...(await serve(context, trace, open, done)));
    }
    return rows;
  };

async function serve(
  context: Context,
  trace: NamedTrace,
  open: Opener,
  tick: Tick,
): Promise<Row[]> {
  const { gpu, scale, warmupPasses, passes } = context;
  const shape = { ...shapeOf(scale, trace), batchMax: BATCH_MAX };
  const layersRun = Math.min(LAYERS_RUN, shape.layers);
  const source = await open(context, shape, layersRun);
  const kernels = new PassKernels(gpu, attentionShape(shape), {
    requestsMax: BATCH_MAX,
    rowsMax: PREFILL_BUDGET + BATCH_MAX,
    tokensMax: shape.maxTokens,
    layersRun,
  });
  // What a run that fails has taken is not missing in the next one.
  try {
    const engine = new ServingEngine(source, kernels, {
      requests: trace.requests,
      batchMax: BATCH_MAX,
      prefillBudget: PREFILL_BUDGET,
      warmupPasses,
      passes,
    });
    const run = await engine.run(tick);
    const name = caseName(trace.name, trace.requests.length, shape);
    return servingRows(name, source.name, run, { model: shape.layers, run: layersRun });
  } finally {
    kernels.close();
    await source.close();
  }
}

export const servingLoopBench = defineBench<Context>({
  name: 'serving-loop',
  description: 'a trace through an engine with real kernels, kvspan against blocks; needs a GPU',
  impossible: noKernels,
  serveArguments: site => ['--pool-bytes', String(memoryScale(site).poolBytes)],
  async open(rig) {
    const { smoke, repeats, requests, traces } = rig.options;
    const scale = memoryScale(rig);
    const loaded = await loadTraces(traces, requests ?? scale.requestsMax);
    return {
      rig,
      gpu: openGpu(rig),
      scale,
      traces: loaded,
      warmupPasses: smoke ? 10 : 200,
      passes: repeats ?? (smoke ? 20 : 400),
    };
  },
  close: ({ gpu }) => gpu.close(),
  parts: {
    kvspan: through(async ({ rig, gpu }, shape) =>
      spanSource(gpu, await rig.connect('bench-serving'), shape),
    ),
    paged: through(async ({ gpu }, shape, layersRun) => pagedSource(gpu, shape, layersRun)),
  },
});
