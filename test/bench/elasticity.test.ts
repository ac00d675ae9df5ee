/** The elasticity bench: its loads, its engine over real memory, the raw calls of a move. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Gpu } from '../../bench/attention/gpu.js';
import { type DemoDaemon, startDaemon } from '../../bench/demo/daemon.js';
import { withRawDevice } from '../../bench/allocator/floor.js';
import { ElasticEngine } from '../../bench/elasticity/engine.js';
import { demandOf, type Lengths, loadOf, rateAt } from '../../bench/elasticity/load.js';
import { moveFloor } from '../../bench/elasticity/move.js';
import { atSeconds, isOverTime, overTime, secondsOf, what } from '../../bench/elasticity/names.js';
import { type ServeAnswer, type ServeJob, timeOfDay } from '../../bench/elasticity/protocol.js';
import { memoryRows, scenarioRows } from '../../bench/elasticity/rows.js';
import type { EngineSizes } from '../../bench/elasticity/sizes.js';
import { guaranteeOf, thirdOf, ways } from '../../bench/elasticity/tenants.js';
import { KernelWork, type PassWork, WriteWork } from '../../bench/elasticity/work.js';
import { type Cache, connect, type Session } from '../../client/typescript/index.js';
import { FakeKernels, mappedHere } from './fake-kernels.js';

const MIB = 1024 ** 2;
const engine: EngineSizes = {
  model: { layers: 4, kvHeads: 2, headDim: 128, dtype: 'bf16' },
  batchMax: 16,
  prefillBudget: 256,
  passMs: 2,
  answerMax: 1000,
};
const SECONDS = 4;
const request: Lengths = { promptTokens: 256, answerTokens: 256 };

const sum = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0);

describe('a load', () => {
  const third = 64 * MIB;
  const load = loadOf([request], engine, SECONDS, third, 3, () => request);
  const demands = demandOf([request], engine, SECONDS, 3);
  const demand = demands[0] as number[];

  it('has every process at its peak in its turn, the others being low', () => {
    for (const moment of [1 / 6, 3 / 6, 5 / 6]) {
      const rates = [0, 1, 2].map(index => rateAt(moment, index, 3));
      expect(rates.filter(rate => rate === 1)).toHaveLength(1);
      expect(rates.filter(rate => rate < 0.2)).toHaveLength(2);
    }
    const [first, second, last] = load.peaks;
    expect(first?.[0]).toBeGreaterThan(0);
    expect(second?.[0]).toBeGreaterThan(first?.[0] as number);
    expect(last?.[0]).toBeGreaterThan(second?.[1] as number);
  });

  it('wants at its peak more than a third, and all together less than the pool', () => {
    // The requests that really come, spread over the time as the rate has it.
    const steps = demand.map((_, step) => rateAt(step / (demand.length / 2), 0, 3));
    const rate = load.requests.flat().length / 3 / sum(steps);
    const all = demand.map((_, step) => sum(demands.map(one => one[step] as number)));
    expect(Math.max(...demand) * rate).toBeGreaterThan(1.3 * third);
    expect(Math.max(...all) * rate).toBeLessThan(0.95 * 3 * third);
    for (const [from, to] of load.peaks) expect(to - from).toBeGreaterThan(0);
  });

  it('comes at the same times each time, in order, of the lengths that are wanted', () => {
    const again = loadOf([request], engine, SECONDS, third, 3, (process, i) => ({
      promptTokens: 1 + process,
      answerTokens: i,
    }));
    for (const [index, requests] of load.requests.entries()) {
      const times = requests.map(({ arrivalMs }) => arrivalMs);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      expect(again.requests[index]?.map(({ arrivalMs }) => arrivalMs)).toEqual(times);
      expect(again.requests[index]?.[1]).toMatchObject({
        promptTokens: 1 + index,
        answerTokens: 1,
      });
    }
  });

  it('is twice as dense where a third is twice as large', () => {
    const twice = loadOf([request], engine, SECONDS, 2 * third, 3, () => request);
    const count = (of: typeof load) => of.requests.flat().length;
    expect(count(twice) / count(load)).toBeCloseTo(2, 0);
  });
});

describe('the ways of sharing', () => {
  it('entitle nobody to more than the pool has', () => {
    for (const poolBytes of [96 * MIB, 24 * 1024 * MIB, 98 * MIB]) {
      for (const way of ways) {
        const { guaranteedBytes, limitBytes } = way.entitlement(poolBytes);
        expect(3 * guaranteedBytes).toBeLessThanOrEqual(poolBytes);
        expect(limitBytes).toBeLessThanOrEqual(poolBytes);
        expect(limitBytes).toBeGreaterThanOrEqual(guaranteedBytes);
      }
      expect(thirdOf(poolBytes) % (2 * MIB)).toBe(0);
      expect(guaranteeOf(poolBytes) % (2 * MIB)).toBe(0);
    }
  });
});

let daemon: DemoDaemon;
let session: Session;
let cache: Cache;

beforeAll(async () => {
  daemon = await startDaemon({ backend: 'host', serveArguments: ['--pool-bytes', '24MiB'] });
  session = await connect({
    socketDirectory: daemon.socketDirectory,
    name: 'elasticity-test',
    lowWaterBytes: 0n,
    highWaterBytes: 0n,
  });
  cache = await session.createCache({ ...engine.model, slots: 16, maxTokens: 1024 });
});

afterAll(async () => {
  await session.close();
  await daemon.stop();
});

const ANSWER = 30;
/** Of 2 or 4 MiB each, so that all of them are more than the pool. */
const REQUESTS = 12;

const job = (count = REQUESTS): ServeJob => ({
  kind: 'serve',
  place: {
    socketDirectory: daemon.socketDirectory,
    tenant: 'one',
    device: { backend: 'host', ordinal: 0, library: null },
  },
  engine,
  maxTokens: 1024,
  requests: Array.from({ length: count }, (_, index) => ({
    arrivalMs: index,
    promptTokens: 400 + 20 * index,
    answerTokens: ANSWER,
  })),
  loadMs: 100,
  cutMs: 120_000,
  guaranteedBytes: 0,
});

async function serve(work: PassWork, of = job()): Promise<ServeAnswer> {
  const answer = await new ElasticEngine(session, cache, work, of).run(timeOfDay());
  work.close();
  expect(cache.stats()).toMatchObject({ liveSlots: 0, liveBytes: 0n });
  return answer;
}

describe('the engine', () => {
  it('ends every request, with what it wrote still there', { timeout: 60_000 }, async () => {
    const answer = await serve(new WriteWork(cache, job()));
    expect(answer.work).toBe('writes');
    for (const { arrivalMs, firstTokenMs, endMs } of answer.requests) {
      expect(firstTokenMs).toBeGreaterThanOrEqual(arrivalMs);
      expect(endMs).toBeGreaterThan(firstTokenMs as number);
    }
    // A preempted request's tokens are made once; what was computed again is of its prompt.
    expect(answer.generatedTokens).toBe(REQUESTS * ANSWER);
    expect(answer.mismatches).toBe(0);
    expect(answer.steps.length).toBeGreaterThan(30);
  });

  it('finds out what another hand has touched', { timeout: 60_000 }, async () => {
    const work = new WriteWork(cache, job());
    let touched = 0;
    const meddling: PassWork = {
      name: work.name,
      stream: null,
      run(pass) {
        work.run(pass);
        const [request] = pass.requests;
        if (touched > 0 || request === undefined) return;
        touched += 1;
        cache.writeTokens(request.slot, 0, new Uint8Array(cache.rowBytes));
      },
      check: one => work.check(one),
      close: () => work.close(),
    };
    expect((await serve(meddling)).mismatches).toBe(1);
  });

  it('gives requests up when the daemon asks for more than is idle', {
    timeout: 60_000,
  }, async () => {
    const other = await connect({
      socketDirectory: daemon.socketDirectory,
      name: 'elasticity-other',
      lowWaterBytes: 0n,
      highWaterBytes: 0n,
    });
    // Four of 4 MiB each that go on for hundreds of passes and never need more: 8 MiB stay free.
    const request = { arrivalMs: 0, promptTokens: 600, answerTokens: 400 };
    const running = serve(new WriteWork(cache, job()), {
      ...job(),
      requests: Array.from({ length: 4 }, () => request),
    });
    while (cache.stats().liveSlots < 4) await new Promise(resolve => setTimeout(resolve, 1));
    await other.acquire([6], { waitMs: 30_000 });
    await other.giveBack(2n ** 40n);
    const answer = await running;
    await other.close();
    expect(answer.reclaims).toBeGreaterThan(0);
    expect(answer.preempted).toBeGreaterThan(0);
    expect(answer.requests.every(({ endMs }) => endMs !== null)).toBe(true);
    expect(answer.generatedTokens).toBe(4 * 400);
    expect(answer.mismatches).toBe(0);
  });

  it('with kernels touches nothing but what is mapped', { timeout: 60_000 }, async () => {
    const kernels = new FakeKernels(mappedHere());
    const gpu = new Gpu(kernels);
    const before = kernels.leaked;
    const work = new KernelWork(gpu, cache, job());
    // The host backend knows nothing of a GPU's streams; the work is over when a pass is.
    Object.defineProperty(work, 'stream', { value: null });
    const answer = await serve(work, job(3));
    expect(answer.work).toBe('kernels');
    expect(answer.requests.every(({ endMs }) => endMs !== null)).toBe(true);
    expect(new Set(kernels.ran)).toEqual(new Set(['fill', 'copy', 'append', 'prefill', 'decode']));
    expect(kernels.leaked).toBe(before);
  });
});

const answerWith = (more: Partial<ServeAnswer>): ServeAnswer => ({
  requests: [],
  memory: [],
  steps: Float64Array.of(1, 2, 3),
  passes: Float64Array.of(1),
  generatedTokens: 5,
  preempted: 1,
  reclaims: 2,
  missed: 1,
  mismatches: 0,
  work: 'writes',
  ...more,
});

describe('rows', () => {
  const load = {
    requests: [],
    peaks: [
      [100, 200],
      [300, 400],
    ] as const,
    serviceMs: 10,
  };
  const scenario = { name: 'x', engine, load, maxTokens: 1, seconds: 1 };
  const answers = [
    answerWith({
      requests: [
        { arrivalMs: 0, firstTokenMs: 50, endMs: 90 },
        { arrivalMs: 150, firstTokenMs: 1200, endMs: 1300 },
      ],
      memory: [{ atMs: 0, liveBytes: 25, heldBytes: 50 }],
    }),
    answerWith({
      requests: [{ arrivalMs: 350, firstTokenMs: null, endMs: null }],
      memory: [{ atMs: 500, liveBytes: 50, heldBytes: 50 }],
    }),
  ];
  const rows = scenarioRows(scenario, 'way', answers, 100);
  const of = (kind: string) => rows.find(row => row.variant === `way: ${kind}`)?.median;

  it('count in time only what ended with its first token in time', () => {
    expect(of(what.goodput)).toBe(0.5);
    expect(of(what.completed)).toBeCloseTo(2 / 3);
    expect(of(what.missed)).toBe(2);
  });

  it('let who had no first token wait until the end', () => {
    // Cut off at 1.25 s and two services: 1,270 ms.
    expect(of(what.ttft99)).toBe(1050);
    expect(of(what.peak50)).toBe(920);
    expect(of(what.peak99)).toBe(1050);
  });

  it('say how much of the pool was under live tokens, and when', () => {
    const points = memoryRows(scenario, 'way', answers, 100);
    expect(points.every(row => isOverTime(row.case) && row.case === overTime('x'))).toBe(true);
    const live = points.filter(row => row.variant.startsWith('way: live'));
    expect(live.map(row => secondsOf(row.variant))).toContain(0.5);
    expect(live.at(0)?.median).toBe(0.25);
    expect(live.at(-1)?.median).toBe(0.75);
    expect(secondsOf(`live${atSeconds(2.25)}`)).toBe(2.25);
  });
});

it('the raw calls of a move leave nothing behind', () => {
  const device = { backend: 'host', ordinal: 0, library: null } as const;
  const us = withRawDevice(device, raw => {
    const first = moveFloor(raw, [2 * MIB, 4 * MIB], [2 * MIB, 2 * MIB, 2 * MIB]);
    return first + moveFloor(raw, [8 * MIB], [8 * MIB]);
  });
  expect(us).toBeGreaterThan(0);
});
