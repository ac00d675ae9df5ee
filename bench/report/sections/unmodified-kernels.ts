/** The section of kernels that know nothing of kvspan: `<kernel> on <memory>: <what>`. */
import type { Chart } from '../charts.js';
import { compareTimes, type Finding } from '../compare.js';
import { casesOf, find, waysOf } from '../figures.js';
import { noted } from '../notes.js';
import { pivot } from '../pivot.js';
import type { BenchResult, Row } from '../results.js';
import type { Section } from '../section.js';

interface Way {
  readonly name: string;
  readonly kernel: string;
  readonly memory: string;
}

function wayOf(name: string): Way {
  const at = name.indexOf(' on ');
  if (at < 0) return { name, kernel: name, memory: '' };
  return { name, kernel: name.slice(0, at), memory: name.slice(at + ' on '.length) };
}

const isOurs = ({ memory }: Way): boolean => memory.startsWith('kvspan, ');
const isPaged = ({ memory }: Way): boolean => memory.startsWith('pages of ');
/** The same kernel reads the same strides there, from memory of the driver. */
const isTwin = (ours: Way, other: Way): boolean =>
  !isOurs(other) && !isPaged(other) && plainLayout(other.memory) === plainLayout(ours.memory);

/** Whoever owns it; kvspan's layer-major is what everybody has who allocates layer by layer. */
const plainLayout = (memory: string): string =>
  memory.slice(memory.indexOf(', ') + 2).replace('layer by layer', 'layer-major');

const timed = (result: BenchResult, name: string): Way[] =>
  waysOf(result, name)
    .map(wayOf)
    .filter(way => find(result, name, way.name, 'time') !== undefined);

function findings(result: BenchResult): Finding[] {
  return casesOf(result).flatMap(name => {
    const ways = timed(result, name);
    const compared = ways.filter(isOurs).flatMap(ours => {
      const same = ways.filter(({ kernel }) => kernel === ours.kernel);
      const others = same.filter(other => isTwin(ours, other) || isPaged(other));
      return others.flatMap(theirs => [
        ...compareWays(result, name, 'time', ours, theirs),
        ...(isPaged(theirs) ? compareWays(result, name, 'host planning', ours, theirs) : []),
      ]);
    });
    return [...compared, ...bestOfLibrary(result, name, ways)];
  });
}

function compareWays(
  result: BenchResult,
  name: string,
  what: string,
  ours: Way,
  theirs: Way,
): Finding[] {
  const row = find(result, name, ours.name, what);
  const other = find(result, name, theirs.name, what);
  // Neither plans anything: there is nothing to compare.
  if (row === undefined || other === undefined || row.median + other.median === 0) return [];
  const about = what === 'time' ? name : `${name}, ${what}`;
  return [
    compareTimes({
      about,
      ours: { name: ours.name, row },
      theirs: { name: theirs.name, row: other },
    }),
  ];
}

/** What a user of FlashInfer would choose on either side, whichever of its kernels it is. */
function bestOfLibrary(result: BenchResult, name: string, ways: readonly Way[]): Finding[] {
  const library = ways.filter(({ kernel }) => kernel.startsWith('FlashInfer'));
  const [ours] = byTime(result, name, library.filter(isOurs));
  const [theirs] = byTime(result, name, library.filter(isPaged));
  if (ours === undefined || theirs === undefined) return [];
  const about = `${name}, the best of FlashInfer on spans and on pages`;
  return [
    compareTimes({
      about,
      ours: { name: ours.way.name, row: ours.row },
      theirs: { name: theirs.way.name, row: theirs.row },
    }),
  ];
}

const byTime = (result: BenchResult, name: string, ways: readonly Way[]) =>
  ways
    .flatMap(way => {
      const row: Row | undefined = find(result, name, way.name, 'time');
      return row === undefined ? [] : [{ way, row }];
    })
    .toSorted((a, b) => a.row.median - b.row.median);

/** Speeds on spans, token-major, which is what a cache is unless told otherwise. */
function chart(result: BenchResult, kind: 'decode' | 'prefill', yTitle: string): Chart | null {
  const cases = casesOf(result).filter(name => name.startsWith(`${kind}, `));
  const ways = (name: string) =>
    timed(result, name).filter(way => isOurs(way) && way.memory.includes('token-major'));
  const kernels = [...new Set(cases.flatMap(name => ways(name).map(({ kernel }) => kernel)))];
  if (kernels.length === 0) return null;
  const speed = (name: string, kernel: string): number | null => {
    const way = ways(name).find(one => one.kernel === kernel);
    return way === undefined ? null : (find(result, name, way.name, 'speed')?.median ?? null);
  };
  return {
    name: kind,
    title: `${kind} on kvspan, token-major: ${yTitle}, more is better`,
    kind: 'bars',
    categories: cases.map(name => name.slice(kind.length + 2)),
    series: kernels.map(kernel => ({
      name: kernel,
      values: cases.map(name => speed(name, kernel)),
    })),
    yTitle,
  };
}

export const unmodifiedKernels: Section = {
  bench: 'unmodified-kernels',
  subject: 'kvspan',
  title: 'Unmodified kernels',
  about:
    "Kernels of today's libraries, called as their users call them: on spans of a real session, on " +
    "memory of the driver with the same strides, and the same library's own kernel over pages in " +
    'shuffled order. One layer, 32 query heads, 8 KV heads, head dim 128, bf16; every result is ' +
    'checked against float64, and one that is wrong is not timed. L2 is emptied before each run; what ' +
    'is compared takes turns. "time / ..." is of runs side by side.',
  command: 'python3 bench/unmodified --kvspan BUNDLE/kvspan --trace TRACE',
  charts: result =>
    [chart(result, 'decode', 'GB/s of K and V'), chart(result, 'prefill', 'TFLOP/s')].filter(
      one => one !== null,
    ),
  findings,
  table: result => [pivot(result), ...noted(result)].join('\n\n'),
};
