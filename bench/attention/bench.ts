/**
 * The attention bench: one kernel template over contiguous and paged memory. Tiles, pipeline and
 * reduction are the same; what differs in time is the layout.
 */
import type { Session } from '../../client/typescript/index.js';
import { defineBench } from '../harness/bench.js';
import type { Tick } from '../harness/progress.js';
import { type Rig, UNMARKED } from '../harness/rig.js';
import type { Row } from '../report/results.js';
import { row } from '../report/statistics.js';
import { loadTraces, type NamedTrace } from '../trace/load.js';
import {
  type AttentionCase,
  decodeCases,
  kvBytesOf,
  type PrefillKernel,
  prefillCases,
} from './cases.js';
import { type Gpu, noKernels, openGpu } from './gpu.js';
import {
  layersThatFit,
  pageSizes,
  type Placed,
  placePaged,
  placePlain,
  placeSpans,
} from './layouts.js';
import { sample } from './measure.js';
import { caseRows } from './rows.js';

const RUNS = 20;
const MODEL_LAYERS = 32;
const READ_BYTES = 4 * 2 ** 30;
const READ_BYTES_SMOKE = 64 * 2 ** 20;
/** Of the device's free memory, what a token-major cache may take beside the other layouts. */
const SPANS_SHARE = 0.8;

interface Context {
  readonly rig: Rig;
  readonly gpu: Gpu;
  readonly session: Session;
  readonly trace: NamedTrace;
  readonly runs: number;
  /** Of a plain read, GB/s; measured before anything is compared with it. */
  readonly read: Row;
}

function plainRead(gpu: Gpu, bytes: number, runs: number): Row {
  const address = gpu.allocate(bytes);
  gpu.fill(address, bytes);
  const batch = gpu.kernels.prepare([{ kind: 'read', address, bytes: BigInt(bytes) }]);
  const { stream, flush } = gpu;
  const samples = Array.from(
    batch.time({ stream, warmups: 3, runs, flush }),
    us => bytes / us / 1e3,
  );
  batch.close();
  gpu.free(address);
  return row(`plain read of ${bytes / 2 ** 20} MiB`, 'cudaMalloc: speed', 'GB/s', samples);
}

/** Compute capability 9.0 alone has the second one. */
const prefillKernels = ({ kernels: { device } }: Gpu): PrefillKernel[] =>
  device.computeMajor === 9 ? ['portable', 'hopper'] : ['portable'];

/** Into `placed`, one after the other: who fails half-way knows what there is to free. */
async function place(context: Context, attention: AttentionCase, placed: Placed[]): Promise<void> {
  const { gpu, session, rig } = context;
  // What the other layouts take is taken from the share of the token-major one.
  const others = kvBytesOf(attention) * (2 + pageSizes.length);
  const free = Number(rig.device.freeBytes) * SPANS_SHARE - others;
  const layers = layersThatFit(attention, free, MODEL_LAYERS);
  placed.push(placePlain(gpu, attention));
  placed.push(await placeSpans(gpu, session, attention, 'token-major', layers));
  placed.push(await placeSpans(gpu, session, attention, 'layer-major', 1));
  for (const pageTokens of pageSizes) placed.push(placePaged(gpu, attention, pageTokens));
}

async function measureAll(
  context: Context,
  cases: readonly AttentionCase[],
  tick: Tick,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [index, attention] of cases.entries()) {
    const placed: Placed[] = [];
    try {
      await place(context, attention, placed);
      const sampled = sample(context.gpu, attention, placed, context.runs);
      rows.push(...caseRows(attention, sampled, context.read.median));
    } finally {
      for (const one of placed) await one.free();
    }
    tick((index + 1) / cases.length);
  }
  return rows;
}

export const attentionBench = defineBench<Context>({
  name: 'attention',
  description: 'decode and prefill kernels over contiguous, kvspan and paged memory; needs a GPU',
  impossible: noKernels,
  serveArguments: () => ['--pool-bytes', '90%'],
  async open(rig) {
    const { smoke, repeats, traces } = rig.options;
    const [trace] = await loadTraces(traces);
    const session = await rig.connect('bench-attention', UNMARKED);
    const gpu = openGpu(rig);
    const runs = repeats ?? RUNS;
    try {
      const read = plainRead(gpu, smoke ? READ_BYTES_SMOKE : READ_BYTES, Math.max(runs, 5));
      return { rig, gpu, session, trace: trace as NamedTrace, runs, read };
    } catch (error) {
      gpu.close();
      throw error;
    }
  },
  close: ({ gpu }) => gpu.close(),
  parts: {
    read: async ({ read }) => [read],
    decode: (context, tick) =>
      measureAll(context, decodeCases(context.rig.options.smoke, context.trace), tick),
    prefill: (context, tick) => {
      const cases = prefillCases(context.rig.options.smoke, prefillKernels(context.gpu));
      return measureAll(context, cases, tick);
    },
  },
});
