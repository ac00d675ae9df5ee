/** The elasticity section: memory that moves between processes, and whether it came up to its targets. */
import {
  grantCase,
  grantWhat,
  INSIDE,
  isOverTime,
  LABEL_MOVE,
  LIVE,
  overTime,
  secondsOf,
  what,
} from '../../elasticity/names.js';
import { ALONE, GUARANTEED, STATIC, UNGUARANTEED } from '../../elasticity/tenants.js';
import type { Chart } from '../charts.js';
import { checkTarget, compareAmounts, compareTimes, type Finding } from '../compare.js';
import { casesOf, find, nameOf, waysOf } from '../figures.js';
import { flat, pivot } from '../pivot.js';
import type { BenchResult, Row } from '../results.js';
import type { Section } from '../section.js';

const ours = [GUARANTEED, UNGUARANTEED] as const;

/** The targets of the issue that asked for this bench. */
const TARGET_BYTES = '10 GiB';
const MOVE_MS_MOST = 100;
const RATIO_MOST = 1.5;
const PEAK_TIMES_LEAST = 5;

const isMove = (name: string): boolean => name.startsWith(LABEL_MOVE);
const scenariosOf = (result: BenchResult): string[] =>
  casesOf(result).filter(name => find(result, name, STATIC, what.goodput) !== undefined);

function moveTargets(result: BenchResult): Finding[] {
  return casesOf(result)
    .filter(isMove)
    .flatMap(name => {
      const time = find(result, name, 'kvspan, asked to mapped');
      const ratio = find(result, name, 'ratio to raw');
      const large = name.startsWith(`${LABEL_MOVE}${TARGET_BYTES}`);
      return [
        ...(time !== undefined && large
          ? [checkTarget({ about: name, row: time, most: MOVE_MS_MOST })]
          : []),
        ...(ratio === undefined
          ? []
          : [
              checkTarget({
                about: `${name}, beside the raw calls on the same extents`,
                row: ratio,
                most: RATIO_MOST,
              }),
            ]),
      ];
    });
}

/** How many times better than static thirds the last of a hundred fares at the peak. */
function peakTargets(result: BenchResult): Finding[] {
  return scenariosOf(result).flatMap(name =>
    ours.flatMap(way => {
      const [mine, theirs] = [way, STATIC].map(one => find(result, name, one, what.peak99));
      if (mine === undefined || theirs === undefined) return [];
      const times = theirs.median / mine.median;
      const row: Row = { ...mine, unit: 'ratio', median: times, min: times, max: times };
      const about = `${name}, ${way}: ${what.peak99}, better than ${STATIC}`;
      return [checkTarget({ about, row, least: PEAK_TIMES_LEAST })];
    }),
  );
}

function deadlineTargets(result: BenchResult): Finding[] {
  const rows: (readonly [about: string, row: Row | undefined])[] = [
    [
      `${grantCase}, ${INSIDE}: ${grantWhat.missed}`,
      find(result, grantCase, INSIDE, grantWhat.missed),
    ],
    ...scenariosOf(result).map(
      name =>
        [
          `${name}, ${GUARANTEED}: ${what.missed}`,
          find(result, name, GUARANTEED, what.missed),
        ] as const,
    ),
  ];
  return rows.flatMap(([about, row]) =>
    row === undefined ? [] : [checkTarget({ about, row, most: 0 })],
  );
}

/** Beside static thirds, and beside the bound: a process that has the pool for itself. */
function comparisons(result: BenchResult): Finding[] {
  return scenariosOf(result).flatMap(name =>
    ours.flatMap(way =>
      [STATIC, ALONE].flatMap(other =>
        [what.goodput, what.ttft50, what.ttft99, what.peak99].flatMap(kind => {
          const row = find(result, name, way, kind);
          const theirs = find(result, name, other, kind);
          if (row === undefined || theirs === undefined) return [];
          const sides = {
            about: `${name}, ${kind}`,
            ours: { name: way, row },
            theirs: { name: other, row: theirs },
          };
          return [kind === what.goodput ? compareAmounts(sides) : compareTimes(sides)];
        }),
      ),
    ),
  );
}

function timeChart(result: BenchResult, name: string, index: number): Chart {
  const points = result.rows.filter(row => row.case === overTime(name));
  const ways = waysOf(result, name);
  return {
    name: `memory-${index + 1}`,
    title: `${name}: memory under live tokens, per cent of the pool`,
    kind: 'lines',
    categories: [],
    series: ways.map(way => ({
      name: way,
      values: points.flatMap(row => {
        const named = nameOf(row.variant);
        const at = secondsOf(named.what);
        if (named.way !== way || at === null || !named.what.startsWith(LIVE)) return [];
        return [[at, row.median * 100] as const];
      }),
    })),
    xTitle: 'seconds',
    xScale: 'linear',
    yTitle: '%',
  };
}

function waitChart(result: BenchResult): Chart {
  const scenarios = scenariosOf(result);
  const ways = [...new Set(scenarios.flatMap(name => waysOf(result, name)))];
  return {
    name: 'first-token',
    title: 'Time to first token at the peak, p99: milliseconds, less is better',
    kind: 'bars',
    categories: scenarios,
    series: ways.map(way => ({
      name: way,
      values: scenarios.map(name => find(result, name, way, what.peak99)?.median ?? null),
    })),
    yTitle: 'ms',
    log: true,
  };
}

export const elasticity: Section = {
  bench: 'elasticity',
  subject: 'kvspan',
  title: 'Elasticity',
  about:
    'Three serving processes on one device, with one daemon. Requests come by loads that rise and fall ' +
    "in turns: at a process's peak it wants up to 1.7 thirds of the pool, while all of them together " +
    'want at most 2.3. Each process is an engine whose passes append and attend by the kernels of ' +
    '`kernels/cuda` in four of the layers (on the host backend every token is written instead) and take ' +
    'at least a fixed time, which stands for the model round the attention. "Static thirds" are tenants ' +
    'whose limit and held guarantee are a third; "one process alone" is the first process with the pool ' +
    'for itself, the bound. A request is in time if its first token comes within a second. "At the peak" ' +
    'are requests that came while their own process wanted more than a third; of who had no first token ' +
    'at the end, the time until then counts. A move is timed in the process that takes, from asking to ' +
    'mapped memory, while the other has nothing but idle spans to give and both take steps; the raw ' +
    'calls run one behind the other in one process, on extents of the same sizes.',
  command: './kvspan bench elasticity --backend cuda --trace TRACE',
  charts: result => {
    const scenarios = scenariosOf(result);
    return [
      ...(scenarios.length > 0 ? [waitChart(result)] : []),
      ...scenarios.map((name, index) => timeChart(result, name, index)),
    ];
  },
  findings: result => [
    ...moveTargets(result),
    ...peakTargets(result),
    ...deadlineTargets(result),
    ...comparisons(result),
  ],
  table: result => {
    const scenarios = new Set(scenariosOf(result));
    const others = result.rows.filter(row => !scenarios.has(row.case) && !isOverTime(row.case));
    return [
      ...(others.length > 0 ? [flat(others)] : []),
      ...[...scenarios].map(name =>
        pivot(
          result,
          result.rows.filter(row => row.case === name),
        ),
      ),
    ].join('\n\n');
  },
};
