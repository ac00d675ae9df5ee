/** The memory section: what fits at once, and what is wasted. */
import type { Chart } from '../charts.js';
import { compareAmounts, compareTimes, type Finding } from '../compare.js';
import { casesOf, find, waysOf } from '../figures.js';
import { pivot } from '../pivot.js';
import type { BenchResult } from '../results.js';
import type { Section } from '../section.js';

const LIVE = 'live at once, mean while others wait';
const WASTED = 'wasted, mean while others wait';
const OURS = 'kvspan token-major, geometric';
const isOurs = (way: string): boolean => way.startsWith('kvspan');

function findings(result: BenchResult): Finding[] {
  return casesOf(result).flatMap(name =>
    waysOf(result, name)
      .filter(way => !isOurs(way))
      .flatMap(theirs =>
        [LIVE, WASTED].flatMap(what => {
          const row = find(result, name, OURS, what);
          const other = find(result, name, theirs, what);
          if (row === undefined || other === undefined) return [];
          const sides = {
            about: `${name}, ${what}`,
            ours: { name: OURS, row },
            theirs: { name: theirs, row: other },
          };
          if (what === LIVE) return [compareAmounts(sides)];
          const { verdict, text } = compareTimes(sides);
          const word = verdict === 'faster' ? 'less' : 'more';
          if (verdict === 'equal') return [{ verdict, text }];
          return [
            {
              verdict: verdict === 'faster' ? 'better' : 'worse',
              text: text.replace(new RegExp(`${verdict}(?=\\*\\*)`), `${word} wasted`),
            },
          ];
        }),
      ),
  );
}

function chart(result: BenchResult, what: string, name: string, yTitle: string): Chart {
  const cases = casesOf(result);
  const ways = [...new Set(cases.flatMap(one => waysOf(result, one)))];
  return {
    name,
    title: what,
    kind: 'bars',
    categories: cases.map(one => one.split(':')[0] as string),
    series: ways.map(way => ({
      name: way,
      values: cases.map(one => find(result, one, way, what)?.median ?? null),
    })),
    yTitle,
  };
}

export const memory: Section = {
  bench: 'memory',
  subject: 'kvspan',
  title: 'Memory',
  about:
    'The requests of a trace, in its order and whatever their arrival times, through one engine and ' +
    'several managers of the same pool: as many are admitted as the manager can hold, each pass gives ' +
    'everybody a token, who is short preempts the youngest. kvspan is the real one: a daemon, a ' +
    'session, extents mapped; short of memory the session first gives back what it has to spare. The ' +
    'others keep the books of every block or page and take no memory. Wasted is what is mapped for ' +
    "live requests and holds no token: kvspan's geometric growth maps up to an eighth more than there " +
    'is, and gives it back when memory runs short.',
  command: './kvspan bench memory --backend cuda --trace TRACE',
  charts: result => [
    chart(result, LIVE, 'live', 'requests'),
    chart(result, WASTED, 'wasted', 'share of what is mapped'),
  ],
  findings,
  table: result => pivot(result),
};
