/**
 * The elasticity bench: three serving processes on one device, whose loads rise and fall in turns, and
 * what it takes to move memory between them. One daemon serves all parts; between the ways of sharing
 * its operator changes what the three tenants are entitled to.
 */
import { badField } from '../../proto/errors.js';
import { defineBench } from '../harness/bench.js';
import type { Tick } from '../harness/progress.js';
import { probe } from '../demo/admin.js';
import type { Row } from '../report/results.js';
import { loadTraces, type NamedTrace, tokensOf } from '../trace/load.js';
import type { TraceRequest } from '../trace/types.js';
import type { Context } from './context.js';
import { grants } from './grants.js';
import { loadOf } from './load.js';
import { move } from './move.js';
import { isOverTime } from './names.js';
import { ServingProcesses } from './processes.js';
import { compareWays } from './scenario.js';
import { sizesFor, tokenBytesOfModel } from './sizes.js';
import { Operator, tenantArguments, tenants, thirdOf } from './tenants.js';

/** kvcached's published scenario, in small: ramps one after the other, prompts and answers alike. */
async function ramps(context: Context, tick: Tick): Promise<Row[]> {
  const { ramps: sizes, seconds } = context.sizes;
  const { promptTokens, answerTokens } = sizes;
  const request = { promptTokens, answerTokens };
  const third = thirdOf(context.poolBytes);
  const scenario = {
    name: `staggered ramps, ${promptTokens} tokens in, ${answerTokens} out`,
    engine: sizes,
    load: loadOf([request], sizes, seconds, third, tenants.length, () => request),
    maxTokens: promptTokens + answerTokens,
    seconds,
  };
  return compareWays(context, scenario, tick);
}

/** Each process has a slice of the trace; when its requests come the ramps say. */
async function slices(context: Context, tick: Tick): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [index, trace] of context.traces.entries()) {
    const done = (share: number) => tick((index + share) / context.traces.length);
    rows.push(...(await replaySlices(context, trace, done)));
  }
  return rows;
}

/** What one request may have of a third: else a third would serve nobody else beside it. */
const REQUEST_SHARE = 0.5;

async function replaySlices(context: Context, trace: NamedTrace, tick: Tick): Promise<Row[]> {
  const { trace: engine, seconds } = context.sizes;
  const third = thirdOf(context.poolBytes);
  const tokensMax = Math.floor((third * REQUEST_SHARE) / tokenBytesOfModel(engine.model));
  const requests = trace.requests
    .map(request => cut(request, engine.answerMax))
    .filter(request => tokensOf(request) <= tokensMax);
  if (requests.length === 0)
    throw badField('trace', trace.name, `one with requests of at most ${tokensMax} tokens`);
  // A third of the trace for each; who needs more than that begins again.
  const slice = Math.max(1, Math.floor(requests.length / tenants.length));
  const pick = (process: number, i: number) =>
    requests[(process * slice + (i % slice)) % requests.length] as TraceRequest;
  const scenario = {
    name: `slices of ${trace.name}`,
    engine,
    load: loadOf(requests, engine, seconds, third, tenants.length, pick),
    maxTokens: Math.max(...requests.map(tokensOf)),
    seconds,
  };
  return compareWays(context, scenario, tick);
}

const cut = (request: TraceRequest, answerMax: number): TraceRequest => ({
  ...request,
  answerTokens: Math.min(answerMax, request.answerTokens),
});

export const elasticityBench = defineBench<Context>({
  name: 'elasticity',
  description: 'three serving processes whose loads rise and fall in turns; memory that moves',
  options: [
    ['--seconds <s>', 'how long requests come, in each way of each scenario'],
    ['--move-bytes <size>', 'how much is moved from an idle process to a busy one'],
  ],
  shown: row => !isOverTime(row.case),
  serveArguments: site => ['--pool-bytes', String(sizesFor(site).poolBytes), ...tenantArguments()],
  async open(rig) {
    const { requests, traces } = rig.options;
    const pool = await probe(rig.socketDirectory);
    return {
      rig,
      sizes: sizesFor(rig),
      poolBytes: pool?.poolBytes ?? 0,
      operator: new Operator(rig.socketDirectory),
      traces: await loadTraces(traces, requests ?? undefined),
      processes: new ServingProcesses(),
    };
  },
  async close({ operator, processes }) {
    await processes.close();
    operator.close();
  },
  parts: { move, grants, ramps, trace: slices },
});
