/**
 * What a run of the demo says: the form of `--json`, which has the benchmarks' `bench` and `rows` too.
 * Sizes in bytes, times in microseconds.
 */
import type { BenchResult, Row } from '../report/results.js';
import type { Outcome } from './cache.js';
import type { HistogramBucket, LatencySummary } from './latency.js';
import type { Leaks } from './leaks.js';

export interface DemoReport {
  /** `host` or `cuda`. */
  readonly backend: string;
  /** The device's name. */
  readonly device: string;
  readonly driver: string;
  /** That the running code was built from. */
  readonly commit: string;
  readonly date: string;
  readonly machine: BenchResult['machine'];
  readonly geometry: {
    readonly description: string;
    /** K and V of one token in all layers. */
    readonly tokenBytes: number;
    readonly slots: number;
    readonly maxTokens: number;
  };
  readonly requests: {
    readonly total: number;
    readonly completed: number;
    /** They did not fit even when they ran alone. */
    readonly failed: number;
    /** How often a request gave its memory up and was computed again. */
    readonly preempted: number;
  };
  readonly tokens: {
    /** Prefilled for the first time. */
    readonly prompt: number;
    readonly generated: number;
    /** Prefilled again after a preemption. */
    readonly recomputed: number;
  };
  /** One `step` a pass, and one more after each preemption. Latencies as the engine sees them. */
  readonly steps: LatencySummary & {
    readonly histogram: readonly HistogramBucket[];
    readonly byOutcome: Partial<Record<Outcome, LatencySummary>>;
    /** Steps in which the calling thread made no driver call, of all steps: 0 to 1. */
    readonly withoutDriverCallShare: number;
  };
  /** Looked at every fourth pass. */
  readonly memory: {
    readonly poolBytes: number;
    /** The most that was mapped at any moment, warm spans of ended requests included. */
    readonly peakMappedBytes: number;
    /** Tokens of live requests when they were most; the fields below are of that moment. */
    readonly peakLiveBytes: number;
    readonly peakLiveRequests: number;
    /** Mapped behind those requests. */
    readonly behindLiveBytes: number;
    /** Spans of ended requests, kept warm for the next and given up on demand. */
    readonly idleBytes: number;
    /** 1 - live / behind live: of the memory behind live requests, what holds no token. */
    readonly slackShare: number;
    /** slots x maxTokens: what an engine that preallocates would hold all the time. */
    readonly preallocatedBytes: number;
    /** The same live requests in blocks of 16 tokens. */
    readonly blocks16Bytes: number;
  };
  readonly attention: {
    /** Answers computed over the spans. */
    readonly computed: number;
    /** Of the answers due (one a live request and pass), those computed: 0 to 1. */
    readonly computedShare: number;
    /** Answers compared with the float64 reference. */
    readonly checks: number;
    readonly maxRelativeError: number;
    /** Above it the run counts as failed. */
    readonly tolerance: number;
  };
  /** Bytes written to and compared from spans. */
  readonly traffic: { readonly writtenBytes: number; readonly verifiedBytes: number };
  /** Tokens whose rows, read back at the end of their request, were not those written. */
  readonly mismatches: number;
  readonly leaks: Leaks;
  /** Of the replay alone, in real time. */
  readonly elapsedMs: number;
}

/** Why a run is not good; empty: it is. */
export function faults(report: DemoReport): string[] {
  const { requests, attention, leaks } = report;
  const found: string[] = [];
  if (report.mismatches > 0)
    found.push(`${report.mismatches} tokens read back were not those written`);
  if (!(attention.maxRelativeError <= attention.tolerance)) {
    found.push(
      `attention is off by ${attention.maxRelativeError}, allowed: ${attention.tolerance}`,
    );
  }
  if (requests.failed > 0) found.push(`${requests.failed} requests failed`);
  const ended = requests.completed + requests.failed;
  if (ended !== requests.total) found.push(`${requests.total - ended} requests never ended`);
  if (leaks.extents > 0 || leaks.bytes > 0)
    found.push(`${leaks.extents} extents, ${leaks.bytes} bytes leaked`);
  if (leaks.fds > 0) found.push(`${leaks.fds} open files leaked`);
  return found;
}

const mib = (bytes: number) => bytes / 2 ** 20;

const one = (name: string, variant: string, unit: Row['unit'], value: number): Row => ({
  case: name,
  variant,
  unit,
  median: value,
  min: value,
  max: value,
  n: 1,
});

/** The report's figures in the form that all benchmarks' results have. */
export function rowsOf(report: DemoReport): Row[] {
  const { steps, memory, requests, attention, leaks } = report;
  return [
    { ...one('step', 'p50', 'us', steps.p50Us), n: steps.count },
    { ...one('step', 'p99', 'us', steps.p99Us), n: steps.count },
    one(
      'step',
      "without a driver call on the caller's thread",
      'share',
      steps.withoutDriverCallShare,
    ),
    one('memory', 'live when most was live', 'MB', mib(memory.peakLiveBytes)),
    one('memory', 'mapped behind it', 'MB', mib(memory.behindLiveBytes)),
    one('memory', 'if in blocks of 16 tokens', 'MB', mib(memory.blocks16Bytes)),
    one('memory', 'if every slot were preallocated', 'MB', mib(memory.preallocatedBytes)),
    one('requests', 'completed', 'count', requests.completed),
    one('tokens', 'read back wrong', 'count', report.mismatches),
    one('attention', 'largest relative error', 'share', attention.maxRelativeError),
    one('leaks', 'bytes', 'count', leaks.bytes),
  ];
}
