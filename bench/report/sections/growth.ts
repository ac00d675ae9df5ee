/** The growth section: how long memory makes an engine wait. */
import type { Chart } from '../charts.js';
import { compareTimes, type Finding } from '../compare.js';
import { casesOf, find, waysOf } from '../figures.js';
import { pivot } from '../pivot.js';
import type { BenchResult } from '../results.js';
import type { Section } from '../section.js';

const isPrompt = (name: string): boolean => name.startsWith('prompt of ');
const tokensOf = (name: string): number => Number(/^prompt of (\d+) tokens/.exec(name)?.[1]);
const isOurs = (way: string): boolean => way.startsWith('kvspan');

/** kvspan's default way beside everybody else's. */
const DEFAULT_PROMPT_WAYS = ['kvspan geometric, from the magazine', 'kvspan geometric, cold'];
const DEFAULT_DECODE_WAY = 'kvspan geometric, mapped ahead';

function compareAll(
  result: BenchResult,
  name: string,
  oursNames: readonly string[],
  what: string,
): Finding[] {
  return oursNames.flatMap(ours =>
    waysOf(result, name)
      .filter(way => !isOurs(way))
      .flatMap(theirs => {
        const row = find(result, name, ours, what);
        const other = find(result, name, theirs, what);
        if (row === undefined || other === undefined) return [];
        return [
          compareTimes({
            about: what === '' ? name : `${name}, ${what}`,
            ours: { name: ours, row },
            theirs: { name: theirs, row: other },
          }),
        ];
      }),
  );
}

function promptChart(result: BenchResult): Chart {
  const cases = casesOf(result).filter(isPrompt);
  const ways = [...new Set(cases.flatMap(name => waysOf(result, name)))];
  return {
    name: 'prompt',
    title: 'Memory for a prompt: milliseconds, less is better',
    kind: 'lines',
    categories: [],
    series: ways.map(way => ({
      name: way,
      values: cases.flatMap(name => {
        const row = find(result, name, way);
        return row === undefined ? [] : [[tokensOf(name), row.median / 1000] as const];
      }),
    })),
    xTitle: 'tokens',
    yTitle: 'ms',
    log: true,
  };
}

function decodeChart(result: BenchResult, what: string, name: string): Chart {
  const cases = casesOf(result).filter(one => !isPrompt(one));
  const ways = [...new Set(cases.flatMap(one => waysOf(result, one)))];
  return {
    name,
    title: `Memory for a decode step, ${what}: microseconds that the engine waits, less is better`,
    kind: 'bars',
    categories: cases.map(one => one.replace(/^decode step, /, '')),
    series: ways.map(way => ({
      name: way,
      values: cases.map(one => find(result, one, way, what)?.median ?? null),
    })),
    yTitle: 'us',
    log: true,
  };
}

export const growth: Section = {
  bench: 'growth',
  subject: 'kvspan',
  title: 'Growth',
  about:
    'How long an engine waits until memory is ready: for a prompt, and for a token more of everybody ' +
    'in a decode batch. "Per-layer 2 MiB pages" are mapped by the raw calls of the device, K and V of ' +
    'each layer in buffers of their own, as vAttention does with the unmodified driver; "handles ' +
    'created before" and "a thread ahead" are its remedies. "Block table" is the bookkeeping of a paged ' +
    'allocator whose pool lies there already; the copy of the table to the device is not in it. A cold ' +
    'prompt is created by the daemon, sent, imported and mapped. "In phase": the whole batch crosses ' +
    'into new pages at the same step.',
  command: './kvspan bench growth --backend cuda',
  charts: result => {
    const names = casesOf(result);
    return [
      ...(names.some(isPrompt) ? [promptChart(result)] : []),
      ...(names.every(isPrompt)
        ? []
        : [
            decodeChart(result, 'mean of a run', 'decode-mean'),
            decodeChart(result, 'worst of a run', 'decode-worst'),
          ]),
    ];
  },
  findings: result =>
    casesOf(result).flatMap(name =>
      isPrompt(name)
        ? compareAll(result, name, DEFAULT_PROMPT_WAYS, '')
        : [
            ...compareAll(result, name, [DEFAULT_DECODE_WAY], 'mean of a run'),
            ...compareAll(result, name, [DEFAULT_DECODE_WAY], 'worst of a run'),
          ],
    ),
  table: result => {
    const prompts = result.rows.filter(row => isPrompt(row.case));
    const decode = result.rows.filter(row => !isPrompt(row.case));
    return [prompts, decode]
      .filter(rows => rows.length > 0)
      .map(rows => pivot(result, rows))
      .join('\n\n');
  },
};
