/** A report for people. */
import Table from 'cli-table3';
import { outcomes } from './cache.js';
import type { LatencySummary } from './latency.js';
import { type DemoReport, faults } from './report.js';

export function renderReport(report: DemoReport): string {
  const bad = faults(report);
  const verdict =
    bad.length === 0
      ? 'Every token read back is the token written, attention agrees with the reference, nothing leaked.'
      : `NOT GOOD: ${bad.join('; ')}.`;
  return [overview(report), stepTable(report), memoryTable(report), verdict, ''].join('\n');
}

function overview(report: DemoReport): string {
  const { requests, tokens, attention, traffic, leaks, elapsedMs } = report;
  const checked = `${count(attention.computed)} answers (${percent(attention.computedShare)} of those due)`;
  const table = new Table({ style: { head: [], border: [] } });
  table.push(
    ['device', `${report.backend}: ${report.device}`],
    ['cache', `${report.geometry.description}; ${size(report.geometry.tokenBytes)} a token`],
    ['slots', `${report.geometry.slots} of up to ${count(report.geometry.maxTokens)} tokens`],
    [
      'requests',
      `${count(requests.completed)} of ${count(requests.total)} completed, ` +
        `${requests.failed} failed, ${requests.preempted} preemptions`,
    ],
    [
      'tokens',
      `${count(tokens.prompt)} prompt, ${count(tokens.generated)} generated, ` +
        `${count(tokens.recomputed)} computed again`,
    ],
    [
      'rows',
      `${size(traffic.writtenBytes)} written, ${size(traffic.verifiedBytes)} read back and compared, ` +
        `${count(report.mismatches)} mismatches`,
    ],
    [
      'attention',
      `${checked}, ${attention.checks} checked, error at most ${attention.maxRelativeError.toExponential(1)}`,
    ],
    ['leaks', `${leaks.extents} extents, ${leaks.bytes} bytes, ${leaks.fds} open files`],
    ['time', `${(elapsedMs / 1000).toFixed(1)} s`],
  );
  return table.toString();
}

function stepTable(report: DemoReport): string {
  const table = new Table({
    head: ['step', 'count', 'p50 us', 'p99 us', 'p99.9 us', 'max us'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  const row = (name: string, of: LatencySummary) =>
    table.push([
      name,
      count(of.count),
      ...[of.p50Us, of.p99Us, of.p999Us, of.maxUs].map(us => us.toFixed(1)),
    ]);
  for (const outcome of outcomes) {
    const summary = report.steps.byOutcome[outcome];
    if (summary !== undefined) row(meaning[outcome], summary);
  }
  row('all', report.steps);
  const share = percent(report.steps.withoutDriverCallShare);
  return `${table.toString()}\n${share} of steps made no driver call on the engine's thread.`;
}

const meaning = {
  nothing: 'nothing to do',
  ahead: 'mapped ahead, mapper woken',
  mapped: 'mapped now, from the magazine',
  refilled: 'waited for the daemon',
  short: 'short: somebody preempted',
} as const;

function memoryTable(report: DemoReport): string {
  const { memory } = report;
  const table = new Table({
    head: [
      `memory when most was live (requests: ${memory.peakLiveRequests})`,
      'bytes',
      'of live tokens',
    ],
    colAligns: ['left', 'right', 'right'],
    style: { head: [], border: [] },
  });
  const row = (name: string, bytes: number) =>
    table.push([
      name,
      size(bytes),
      memory.peakLiveBytes === 0 ? '' : `${(bytes / memory.peakLiveBytes).toFixed(2)} x`,
    ]);
  row('live tokens', memory.peakLiveBytes);
  row(
    `mapped behind them (${percent(memory.slackShare)} slack: growth, and reused spans)`,
    memory.behindLiveBytes,
  );
  row('warm spans of ended requests, given up on demand', memory.idleBytes);
  row('if in blocks of 16 tokens', memory.blocks16Bytes);
  row('if every slot were preallocated', memory.preallocatedBytes);
  row('the most mapped at any moment', memory.peakMappedBytes);
  row("the daemon's pool", memory.poolBytes);
  const tokens = Math.floor(PAGE_BYTES / report.geometry.tokenBytes);
  const comparison = tokens === TOKENS_OF_8B ? '' : `, ${TOKENS_OF_8B} of an 8B model's`;
  return (
    `${table.toString()}\nMemory is mapped in pages of 2 MiB: ` +
    `${count(tokens)} tokens of this geometry${comparison}.`
  );
}

/** The driver's granule. */
const PAGE_BYTES = 2 * 1024 * 1024;
/** Tokens of a page at 128 KiB a token. */
const TOKENS_OF_8B = 16;

const count = (value: number): string => value.toLocaleString('en-US');
const percent = (share: number): string =>
  `${(share * 100).toFixed(share > 0.99 && share < 1 ? 3 : 1)} %`;

function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}
