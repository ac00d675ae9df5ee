/** The serving loop's engine over both sources, with kernels that check addresses and compute nothing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Gpu } from '../../bench/attention/gpu.js';
import { type DemoDaemon, startDaemon } from '../../bench/demo/daemon.js';
import type { Running } from '../../bench/demo/scheduler.js';
import type { MemoryShape } from '../../bench/memory/manager.js';
import { ServingEngine } from '../../bench/serving-loop/engine.js';
import { PassKernels } from '../../bench/serving-loop/kernels.js';
import { capacityOf, commitPass, planPass } from '../../bench/serving-loop/pass.js';
import { memoryOf, servingRows, wholeOf } from '../../bench/serving-loop/rows.js';
import {
  attentionShape,
  type KvSource,
  pagedSource,
  spanSource,
  tableOf,
} from '../../bench/serving-loop/sources.js';
import { connect } from '../../client/typescript/index.js';
import { FAKE_US, FakeKernels, mappedHere } from './fake-kernels.js';

const MIB = 1024 ** 2;
const LAYERS_RUN = 2;
const shape: MemoryShape = {
  poolBytes: 48 * MIB,
  layers: 4,
  kvHeads: 2,
  headDim: 128,
  dtype: 'bf16',
  maxTokens: 2048,
  batchMax: 8,
};

let daemon: DemoDaemon;

beforeAll(async () => {
  daemon = await startDaemon({ backend: 'host', serveArguments: ['--pool-bytes', '48MiB'] });
});

afterAll(() => daemon.stop());

function running(index: number, more: Partial<Running>): Running {
  return {
    index,
    arrivalMs: 0,
    prefillTokens: 100,
    answerTokens: 10,
    slot: index,
    prefilled: 100,
    generated: 0,
    ...more,
  };
}

describe('a pass', () => {
  it('has those who decode first, then chunks of prompts, the oldest first, within the budget', () => {
    const batch = [
      running(0, { prefilled: 40 }),
      running(1, { generated: 3 }),
      running(2, { prefilled: 0, prefillTokens: 200 }),
      running(3, { prefilled: 0 }),
      running(4, { generated: 10 }),
    ];
    const pass = planPass(batch, 150);
    expect(pass.requests.map(({ index }) => index)).toEqual([1, 0, 2]);
    expect(pass.decodeCount).toBe(1);
    expect(Array.from(pass.newTokens)).toEqual([1, 60, 90]);
    expect(Array.from(pass.lengths)).toEqual([104, 100, 90]);
    expect(Array.from(pass.rowStarts)).toEqual([0, 1, 61, 151]);
    commitPass(pass);
    expect(batch.map(({ prefilled }) => prefilled)).toEqual([100, 100, 90, 0, 100]);
    expect(batch.map(({ generated }) => generated)).toEqual([0, 4, 0, 0, 10]);
  });

  it('may have only prompts, or nothing', () => {
    expect(planPass([running(0, { prefilled: 0 })], 8)).toMatchObject({ decodeCount: 0 });
    expect(planPass([running(0, { generated: 10 })], 8).requests).toEqual([]);
  });
});

it('block tables have a row for each request', () => {
  const values = tableOf([Int32Array.of(7), Int32Array.of(1, 2, 3)], 4);
  expect(Array.from(values)).toEqual([7, 0, 0, 0, 1, 2, 3, 0]);
});

it('plans and tables are made for the next power of two, and no longer than a request can be', () => {
  expect([1, 1024, 1025, 5000].map(tokens => capacityOf(tokens, 9000))).toEqual([
    1024, 1024, 2048, 8192,
  ]);
  expect([capacityOf(8193, 9000), capacityOf(3, 512)]).toEqual([9000, 512]);
});

const trace = Array.from({ length: 12 }, (_, index) => ({
  arrivalMs: 0,
  promptTokens: 100 + 83 * index,
  answerTokens: 5 + index,
}));

async function serve(open: (gpu: Gpu) => Promise<KvSource>) {
  const kernels = new FakeKernels(mappedHere());
  const gpu = new Gpu(kernels);
  const before = kernels.leaked;
  const source = await open(gpu);
  const limits = { requestsMax: 8, rowsMax: 264, tokensMax: 2048, layersRun: LAYERS_RUN };
  const passKernels = new PassKernels(gpu, attentionShape(shape), limits);
  const engine = new ServingEngine(source, passKernels, {
    requests: trace,
    batchMax: 8,
    prefillBudget: 256,
    warmupPasses: 3,
    passes: 1000,
  });
  const run = await engine.run(() => {});
  expect(source.manager.stats()).toMatchObject({ liveBytes: 0, usedBytes: 0 });
  passKernels.close();
  await source.close();
  return { run, name: source.name, kernels, leaked: kernels.leaked - before };
}

describe.each([
  [
    'spans',
    async (gpu: Gpu) => {
      const { socketDirectory } = daemon;
      return spanSource(gpu, await connect({ socketDirectory, name: 'serving-test' }), shape);
    },
  ],
  ['blocks', async (gpu: Gpu) => pagedSource(gpu, shape, LAYERS_RUN)],
] as const)('serving over %s', (_, open) => {
  it('ends every request, with every token it touches in memory of its own', async () => {
    const { run, name, kernels, leaked } = await serve(open);
    expect(run.completed).toBe(trace.length);
    expect(leaked).toBe(0);
    const tokens = run.passes.reduce((sum, pass) => sum + pass.newTokens, 0);
    expect(tokens).toBeGreaterThan(1000);
    expect(new Set(kernels.ran)).toEqual(new Set(['fill', 'copy', 'append', 'prefill', 'decode']));
    for (const pass of run.passes) {
      expect(pass.append).toBe(FAKE_US);
      expect(pass.decode).toBe(pass.decodeRequests > 0 ? FAKE_US : 0);
    }
    const rows = servingRows('a trace', name, run, { model: 4, run: LAYERS_RUN });
    for (const row of rows) expect(Number.isFinite(row.median), row.variant).toBe(true);
    const share = rows.find(row => row.unit === 'share')?.median as number;
    expect(share).toBeGreaterThan(0);
    expect(share).toBeLessThan(1);
  });
});

it('extrapolates the device to all layers, and the host not', () => {
  const pass = {
    admission: 1,
    step: 2,
    tables: 3,
    plan: 4,
    append: 10,
    prefill: 0,
    decode: 30,
    decodeRequests: 1,
    newTokens: 1,
  };
  expect(memoryOf(pass)).toBe(6);
  expect(wholeOf(pass, 32, 4)).toBe(6 + 4 + 40 * 8);
});
