/** The section of the engine that serves a whole model, once for each manager of memory. */
import type { Chart } from '../charts.js';
import { compareAmounts, compareTimes, type Finding, type Sides } from '../compare.js';
import { casesOf, find, nameOf, say, waysOf } from '../figures.js';
import { noted } from '../notes.js';
import { pivot } from '../pivot.js';
import type { BenchResult } from '../results.js';
import type { Section } from '../section.js';

const OURS = 'kvspan';
const VERIFIED = ': verified';
const SAME = 'same tokens';
const THROUGHPUT = 'tokens generated';
const AT_ONCE = 'requests running at once, mean';

/** Of which more is better. */
const amounts = [THROUGHPUT, 'tokens of prompts', AT_ONCE] as const;
const times = [
  'time to first token, p50',
  'time to first token, p99',
  'time per output token, p50',
  'time per output token, p99',
  'memory management, mean of a pass',
  'telling the device where requests lie, mean of a pass',
  'plans of the kernels, mean of a pass',
  'pass without prefill, mean of a pass',
] as const;
/** Of which less is better, though it is no time. */
const costs = ['memory taken from the device, peak'] as const;

const isVerified = (name: string): boolean => name.endsWith(VERIFIED);
const served = (result: BenchResult): string[] => casesOf(result).filter(name => !isVerified(name));

function findings(result: BenchResult): Finding[] {
  const compared = served(result).flatMap(name =>
    waysOf(result, name)
      .filter(way => way !== OURS)
      .flatMap(theirs => [
        ...amounts.flatMap(what => compareBy(compareAmounts, result, name, what, theirs)),
        ...times.flatMap(what => compareBy(compareTimes, result, name, what, theirs)),
        ...costs.flatMap(what => compareBy(compareCosts, result, name, what, theirs)),
      ]),
  );
  return [...verified(result), ...compared];
}

function compareBy(
  compare: (sides: Sides) => Finding,
  result: BenchResult,
  name: string,
  what: string,
  theirs: string,
): Finding[] {
  const row = find(result, name, OURS, what);
  const other = find(result, name, theirs, what);
  if (row === undefined || other === undefined) return [];
  const about = `${name}, ${what}`;
  return [compare({ about, ours: { name: OURS, row }, theirs: { name: theirs, row: other } })];
}

function compareCosts(sides: Sides): Finding {
  const { verdict, text } = compareTimes(sides);
  if (verdict === 'equal') return { verdict, text };
  const [word, better] = verdict === 'faster' ? ['less', true] : ['more', false];
  const said = text.replace(new RegExp(`${verdict}(?=\\*\\*)`), word);
  return { verdict: better ? 'better' : 'worse', text: said };
}

/** Memory is managed rightly if everybody says the same; a token that differs is a fault. */
function verified(result: BenchResult): Finding[] {
  return result.rows
    .filter(row => isVerified(row.case) && nameOf(row.variant).what === SAME)
    .map(row => {
      const { way } = nameOf(row.variant);
      const verdict = row.median === 1 ? 'equal' : 'worse';
      const share = say(row.median, row.unit);
      return { verdict, text: `${row.case}: ${way}: **${share} of the same tokens**.` };
    });
}

function chart(result: BenchResult, what: string, name: string, yTitle: string): Chart {
  const cases = served(result);
  const ways = [...new Set(cases.flatMap(one => waysOf(result, one)))];
  return {
    name,
    title: `${what}: ${yTitle}, more is better`,
    kind: 'bars',
    categories: cases.map(one => one.split(':')[0] as string),
    series: ways.map(way => ({
      name: way,
      values: cases.map(one => find(result, one, way, what)?.median ?? null),
    })),
    yTitle,
  };
}

export const serving: Section = {
  bench: 'serving',
  subject: 'kvspan',
  title: 'Serving',
  about:
    'A Llama of random weights behind a small engine: continuous batching, chunked prefill, greedy. ' +
    'Requests come as the trace has them; the engine is the same for all, but for who gives memory ' +
    'and the attention kernels that this memory takes. A run ends with its requests or its time; who ' +
    'has no first token then counts with what he has waited so far. "Verified" are a few requests by ' +
    "one and the same attention over rows found through each manager's addresses: their tokens must " +
    'be the same. With kernels that round differently tokens may part, after which they are not ' +
    'compared.',
  command: 'python3 bench/serving --kvspan BUNDLE/kvspan --trace TRACE...',
  charts: result =>
    served(result).length === 0
      ? []
      : [
          chart(result, THROUGHPUT, 'tokens', 'tokens/s'),
          chart(result, AT_ONCE, 'at-once', 'requests'),
        ],
  findings,
  table: result => [pivot(result), ...noted(result)].join('\n\n'),
};
