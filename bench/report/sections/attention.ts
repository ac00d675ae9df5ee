/** The attention section: each contiguous layout beside the best paged one. */
import type { Chart } from '../charts.js';
import { compareTimes, type Finding } from '../compare.js';
import { casesOf, find, waysOf } from '../figures.js';
import { pivot } from '../pivot.js';
import type { BenchResult, Row } from '../results.js';
import type { Section } from '../section.js';

const isPaged = (way: string): boolean => way.startsWith('paged');

function bestPaged(result: BenchResult, name: string): { name: string; row: Row } | null {
  const paged = waysOf(result, name)
    .filter(isPaged)
    .map(way => ({ name: way, row: find(result, name, way, 'time') }))
    .filter((one): one is { name: string; row: Row } => one.row !== undefined);
  return paged.toSorted((a, b) => a.row.median - b.row.median)[0] ?? null;
}

function findings(result: BenchResult): Finding[] {
  return casesOf(result).flatMap(name => {
    const theirs = bestPaged(result, name);
    if (theirs === null) return [];
    return waysOf(result, name)
      .filter(way => !isPaged(way))
      .flatMap(way => {
        const row = find(result, name, way, 'time');
        return row === undefined
          ? []
          : [compareTimes({ about: name, ours: { name: way, row }, theirs })];
      });
  });
}

/** Layers differ from case to case (`(16 layers)`): in a chart that is one series. */
const seriesOf = (way: string): string => way.replace(/ \(\d+ layers?\)$/, '');

function chart(result: BenchResult, kind: 'decode' | 'prefill', yTitle: string): Chart | null {
  const cases = casesOf(result).filter(name => name.startsWith(`${kind}, `));
  if (cases.length === 0) return null;
  const names = [...new Set(cases.flatMap(name => waysOf(result, name).map(seriesOf)))];
  const speed = (name: string, series: string): number | null => {
    const way = waysOf(result, name).find(one => seriesOf(one) === series);
    return way === undefined ? null : (find(result, name, way, 'speed')?.median ?? null);
  };
  return {
    name: kind,
    title: `${kind}: ${yTitle}, more is better`,
    kind: 'bars',
    categories: cases.map(name => name.slice(kind.length + 2)),
    series: names.map(name => ({ name, values: cases.map(one => speed(one, name)) })),
    yTitle,
  };
}

export const attention: Section = {
  bench: 'attention',
  subject: 'contiguous memory',
  title: 'Attention',
  about:
    'One kernel template, whose only parameter is how an address is computed: contiguous (base and ' +
    'stride) or paged (block table, shuffled). One layer, 32 query heads, 8 KV heads, head dim 128, ' +
    'bf16. L2 is emptied before each run; the variants take turns. "On kvspan" is the memory of a ' +
    'real session: token-major has all layers of a token together, so a layer reads strided rows. ' +
    'Prefill has two kernels, a portable one and one for Hopper alone, each with both layouts.',
  command: './kvspan bench attention --backend cuda --trace TRACE',
  charts: result =>
    [chart(result, 'decode', 'GB/s of K and V'), chart(result, 'prefill', 'TFLOP/s')].filter(
      one => one !== null,
    ),
  findings,
  table: result => pivot(result),
};
