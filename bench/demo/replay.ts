/** One session's replay of a trace: the cache, the engine over it, and what they say at the end. */
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { Session } from '../../client/typescript/index.js';
import { commitOf, machine } from '../report/results.js';
import type { TraceRequest } from '../trace/types.js';
import { Attention, ATTENTION_TOLERANCE } from './attention.js';
import { Engine } from './engine.js';
import { describeGeometry, tokenBytes } from './geometry.js';
import type { MemoryPeak } from './memory.js';
import { Pattern } from './pattern.js';
import { createProgress } from './progress.js';
import type { DemoReport } from './report.js';
import { engineCache } from './rows.js';
import type { DemoOptions } from './run.js';

/** Kept mapped past each request by the mapper: so many passes before a step could need it. */
const LOOKAHEAD_TOKENS = 32;
/** Answers that are compared with the reference, about. */
const CHECKS_WANTED = 500;

export type Replayed = Omit<DemoReport, 'leaks'>;

export async function replay(
  session: Session,
  options: DemoOptions,
  requests: readonly TraceRequest[],
): Promise<Replayed> {
  const { geometry, seed, batchMax } = options;
  const maxTokens = geometry.maxTokens ?? longestRequest(requests);
  const fitting = requests.filter(request => tokensOf(request) <= maxTokens);
  const { layout, layers, kvHeads, headDim, dtype } = geometry;
  const cache = await session.createCache({
    layout,
    layers,
    kvHeads,
    headDim,
    dtype,
    maxTokens,
    slots: batchMax,
    name: 'demo',
    growth: 'geometric',
    lookaheadTokens: LOOKAHEAD_TOKENS,
  });
  const rows = engineCache(cache, geometry);
  const pattern = new Pattern(geometry, seed);
  const attention = new Attention(rows, geometry, pattern, checkEvery(fitting));
  const progress = createProgress(options.progress, process.stderr);
  const engine = new Engine({
    requests: fitting,
    batchMax,
    slots: batchMax,
    cache: rows,
    pattern,
    attention,
    onProgress: (ended, total) => progress.update(ended, total),
  });
  const began = performance.now();
  try {
    await engine.run();
  } finally {
    progress.stop();
  }
  const elapsedMs = Math.round(performance.now() - began);
  await cache.close();
  const tooLong = requests.length - fitting.length;
  return {
    ...describeSession(session, options, maxTokens),
    ...describeRun(engine, attention, tooLong),
    memory: describeMemory(session, engine.memory, batchMax * maxTokens),
    elapsedMs,
  };
}

const tokensOf = (request: TraceRequest): number => request.promptTokens + request.answerTokens;

/** The longest request, rounded up to a power of two. */
export function longestRequest(requests: readonly TraceRequest[]): number {
  const longest = requests.reduce((most, request) => Math.max(most, tokensOf(request)), 1);
  return 2 ** Math.ceil(Math.log2(longest));
}

function checkEvery(requests: readonly TraceRequest[]): number {
  const due = requests.reduce((sum, request) => sum + request.answerTokens, 0);
  return Math.max(1, Math.floor(due / CHECKS_WANTED));
}

function describeSession(session: Session, options: DemoOptions, maxTokens: number) {
  const { geometry, batchMax } = options;
  return {
    backend: session.server.backend,
    device: session.server.device.name,
    driver: session.server.device.driver,
    commit: commitOf(join(import.meta.dirname, '..')),
    date: new Date().toISOString(),
    machine: machine(),
    geometry: {
      description: describeGeometry(geometry),
      tokenBytes: tokenBytes(geometry),
      slots: batchMax,
      maxTokens,
    },
  };
}

function describeMemory(session: Session, memory: MemoryPeak, preallocatedTokens: number) {
  return {
    poolBytes: Number(session.server.poolBytes),
    peakMappedBytes: memory.mappedBytes,
    idleBytes: memory.idleBytes,
    behindLiveBytes: memory.behindLiveBytes,
    peakLiveBytes: memory.liveBytes,
    peakLiveRequests: memory.liveRequests,
    slackShare: memory.slackShare,
    preallocatedBytes: preallocatedTokens * memory.tokenBytes,
    blocks16Bytes: memory.blocksBytes,
  };
}

function describeRun(engine: Engine, attention: Attention, tooLong: number) {
  const { scheduler, steps } = engine;
  return {
    requests: {
      total: scheduler.total + tooLong,
      completed: scheduler.completed,
      failed: scheduler.failed + tooLong,
      preempted: scheduler.preempted,
    },
    tokens: {
      prompt: engine.promptTokens,
      generated: engine.generatedTokens,
      recomputed: engine.recomputedTokens,
    },
    steps: {
      ...steps.summary(),
      histogram: steps.histogram(),
      byOutcome: steps.byOutcome(),
      withoutDriverCallShare: steps.withoutDriverCallShare,
    },
    attention: {
      computed: attention.computed,
      computedShare: attention.due === 0 ? 1 : attention.computed / attention.due,
      checks: attention.checks,
      maxRelativeError: attention.maxRelativeError,
      tolerance: ATTENTION_TOLERANCE,
    },
    traffic: { writtenBytes: engine.bytesWritten, verifiedBytes: engine.bytesVerified },
    mismatches: engine.mismatches,
  };
}
