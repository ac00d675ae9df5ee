/** The serving loop's section: where the time of a pass goes. */
import type { Chart } from '../charts.js';
import { compareTimes, type Finding } from '../compare.js';
import { casesOf, find, waysOf } from '../figures.js';
import { pivot } from '../pivot.js';
import type { BenchResult, Row } from '../results.js';
import type { Section } from '../section.js';

const MEAN = ', mean of a pass';
const OURS = 'contiguous on kvspan';
const memoryParts = [
  'admission and ending',
  'memory of the next token',
  'telling the device where requests lie',
] as const;
const compared = [
  ...memoryParts,
  'memory management in all',
  'append, on the device',
  'prefill, on the device',
  'decode, on the device',
] as const;

/** The parts that are compared, and the pass over all layers, whatever their number. */
function wholes(result: BenchResult, name: string): string[] {
  const found = result.rows
    .filter(row => row.case === name)
    .map(row => /: (pass over \d+ layers), mean of a pass$/.exec(row.variant)?.[1])
    .filter(one => one !== undefined);
  return [...new Set(found)];
}

function findings(result: BenchResult): Finding[] {
  return casesOf(result).flatMap(name =>
    [...compared, ...wholes(result, name)].flatMap(what =>
      waysOf(result, name)
        .filter(way => way !== OURS)
        .flatMap(theirs => {
          const row = find(result, name, OURS, what + MEAN);
          const other = find(result, name, theirs, what + MEAN);
          if (row === undefined || other === undefined) return [];
          return [
            compareTimes({
              about: `${name}, ${what}${MEAN}`,
              ours: { name: OURS, row },
              theirs: { name: theirs, row: other },
            }),
          ];
        }),
    ),
  );
}

function chart(result: BenchResult, name: string, index: number): Chart {
  const ways = waysOf(result, name);
  const value = (way: string, what: string): number | null => {
    const row: Row | undefined = find(result, name, way, what + MEAN);
    return row === undefined ? null : row.median;
  };
  return {
    name: `memory-${index + 1}`,
    title: `${name.split(':')[0]}: memory management of a pass, microseconds on average`,
    kind: 'stacked',
    categories: ways,
    series: memoryParts.map(what => ({ name: what, values: ways.map(way => value(way, what)) })),
    yTitle: 'us',
  };
}

export const servingLoop: Section = {
  bench: 'serving-loop',
  subject: 'kvspan',
  title: 'Serving loop',
  about:
    'A trace through a continuous-batching engine with real append, prefill and decode kernels and no ' +
    'model round them: batches of up to 64, 2,048 prefill tokens a pass. The cache holds all layers of ' +
    'the model, the kernels compute four of them; a pass over all layers is what the host did and ' +
    "the layers' time multiplied. Paged engines tell the device the block table of everybody in each " +
    'pass, as wide as the next power of two; a contiguous one tells it the slots.',
  command: './kvspan bench serving-loop --backend cuda --trace TRACE',
  charts: result => casesOf(result).map((name, index) => chart(result, name, index)),
  findings,
  table: result =>
    pivot(
      result,
      result.rows.filter(row => !row.variant.endsWith(MEAN)),
    ),
};
