/** The written report, from results that are made here. */
import { mkdtempSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compareAmounts, compareTimes } from '../../bench/report/compare.js';
import { nameOf, say } from '../../bench/report/figures.js';
import { loadResults } from '../../bench/report/load.js';
import { compose, writeReport } from '../../bench/report/report.js';
import { type BenchResult, type Row, type Unit, writeResult } from '../../bench/report/results.js';

const row = (name: string, variant: string, unit: Unit, median: number): Row => ({
  case: name,
  variant,
  unit,
  median,
  min: median * 0.9,
  max: median * 1.1,
  n: 20,
});

const result = (bench: string, rows: Row[], backend = 'cuda'): BenchResult => ({
  bench,
  device: backend === 'cuda' ? 'NVIDIA Something' : 'A CPU',
  backend,
  driver: '1.2.3',
  commit: 'abcdef012345',
  date: '2026-11-24T10:00:00.000Z',
  machine: { cpu: 'A CPU', cores: 8, node: '24.0.0', clocks: 'SM 1980 of 1980 MHz' },
  rows,
});

const attentionRows = (contiguous: number): Row[] => [
  row('decode, 64 x 4096', 'contiguous on kvspan, token-major (32 layers): time', 'us', contiguous),
  row('decode, 64 x 4096', 'contiguous on kvspan, token-major (32 layers): speed', 'GB/s', 2000),
  row('decode, 64 x 4096', 'paged, 1: time', 'us', 500),
  row('decode, 64 x 4096', 'paged, 1: speed', 'GB/s', 1900),
  row('decode, 64 x 4096', 'paged, 16: time', 'us', 400),
  row('decode, 64 x 4096', 'paged, 16: speed', 'GB/s', 2100),
];

const memoryRows: Row[] = ['kvspan token-major, geometric', 'blocks of 16 tokens'].flatMap(
  (way, index) => [
    row(
      'a: 9 requests in 40 GiB',
      `${way}: live at once, mean while others wait`,
      'requests',
      9 + index,
    ),
    row(
      'a: 9 requests in 40 GiB',
      `${way}: wasted, mean while others wait`,
      'share',
      0.1 / (1 + index),
    ),
  ],
);

const growthRows: Row[] = [
  row('prompt of 1024 tokens (128 MiB)', 'kvspan geometric, from the magazine', 'us', 50),
  row('prompt of 1024 tokens (128 MiB)', 'per-layer 2 MiB pages, synchronous', 'us', 5000),
  row('prompt of 1024 tokens (128 MiB)', 'block table, blocks of 16', 'us', 10),
];

const RAMPS = 'staggered ramps, 256 tokens in, 256 out';
const GUARANTEED = 'kvspan, guarantees of a quarter';

/** Of one way to share, a scenario's rows. */
const scenarioRows = (way: string, peakMs: number, goodput: number): Row[] => [
  row(RAMPS, `${way}: requests in time, a second and process`, 'requests', goodput),
  row(RAMPS, `${way}: time to first token at the peak, p99`, 'ms', peakMs),
  row(RAMPS, `${way}: grants inside a guarantee past their deadline`, 'count', 0),
  ...[1, 2].map(at =>
    row(`${RAMPS}: memory over time`, `${way}: live at ${at}.00 s`, 'share', at / 4),
  ),
];

const elasticityRows = (moveMs: number, peakMs: number, missed: number): Row[] => [
  row('move of 10 GiB, one span to one request', 'kvspan, asked to mapped', 'ms', moveMs),
  row('move of 10 GiB, one span to one request', 'ratio to raw', 'ratio', moveMs / 40),
  row(
    'grants while three processes contend',
    'inside the guarantee: past their deadline',
    'count',
    missed,
  ),
  ...scenarioRows('static thirds', 1000, 10),
  ...scenarioRows(GUARANTEED, peakMs, 9),
  ...scenarioRows('one process alone', 20, 12),
];

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kvspan-report-'));
  mkdirSync(join(directory, 'results'));
});

afterEach(() => rmSync(directory, { recursive: true }));

const put = (name: string, what: unknown): void =>
  writeFileSync(join(directory, 'results', name), JSON.stringify(what));

const places = () => ({ results: join(directory, 'results'), out: join(directory, 'REPORT.md') });
const page = (): string => readFileSync(join(directory, 'REPORT.md'), 'utf8');

const sides = (ours: number, theirs: number) => ({
  about: 'x',
  ours: { name: 'ours', row: row('x', 'ours', 'us', ours) },
  theirs: { name: 'theirs', row: row('x', 'theirs', 'us', theirs) },
});

describe('a sentence', () => {
  it.each([
    [100, 120, 'faster', 'x: ours 100 us; theirs 120 us: **20.0 % faster**.'],
    [120, 100, 'slower', 'x: ours 120 us; theirs 100 us: **20.0 % slower**.'],
    [100, 100.9, 'equal', 'x: ours 100 us; theirs 101 us: **equal**.'],
    [2000, 400, 'slower', 'x: ours 2.00 ms; theirs 400 us: **5.00 times slower**.'],
    [0, 400, 'faster', 'x: ours 0 us; theirs 400 us: **infinitely faster**.'],
    [0, 0, 'equal', 'x: ours 0 us; theirs 0 us: **equal**.'],
  ])('of the times %d and %d says %s', (ours, theirs, verdict, text) => {
    expect(compareTimes(sides(ours, theirs))).toEqual({ verdict, text });
  });

  it('of amounts says which is better, not which is less', () => {
    expect(compareAmounts(sides(9, 10)).verdict).toBe('worse');
    expect(compareAmounts(sides(10, 9)).verdict).toBe('better');
  });
});

it('figures carry the unit that people would use', () => {
  expect(say(1500, 'us')).toBe('1.50 ms');
  expect(say(2_500_000, 'us')).toBe('2.50 s');
  expect(say(0.042, 'share')).toBe('4.20 %');
  expect(say(1.5, 'ratio')).toBe('1.50x');
  expect(nameOf('paged, 16: time')).toEqual({ way: 'paged, 16', what: 'time' });
  expect(nameOf('paged, 16')).toEqual({ way: 'paged, 16', what: '' });
});

describe('the report', () => {
  it('says where contiguous is slower, in a list with those where it is not', () => {
    const slower = compose([result('attention', attentionRows(440))], 'p').page;
    expect(slower).toContain(
      '- decode, 64 x 4096: contiguous on kvspan, token-major (32 layers) 440 us; ' +
        'paged, 16 400 us: **10.0 % slower**.',
    );
    expect(slower).toContain('better in 0, equal in 0, worse in 1');
    const equal = compose([result('attention', attentionRows(401))], 'p').page;
    expect(equal).toContain('paged, 16 400 us: **equal**.');
    const faster = compose([result('attention', attentionRows(380))], 'p').page;
    expect(faster).toContain('- decode, 64 x 4096');
    expect(faster).toContain('**5.26 % faster**.');
  });

  it('says that fewer requests fit and more is wasted, where it is so', () => {
    const text = compose([result('memory', memoryRows)], 'p').page;
    expect(text).toContain('9.00 requests; blocks of 16 tokens 10.0 requests: **11.1 % worse**.');
    expect(text).toContain('blocks of 16 tokens 5.00 %: **2.00 times more wasted**.');
  });

  it('says of each target of elasticity whether it is met, in one list with the comparisons', () => {
    const good = compose([result('elasticity', elasticityRows(55, 100, 0))], 'p').page;
    expect(good).toContain(
      '- target: move of 10 GiB, one span to one request: 55.0 ms, wanted at most 100 ms: **met**.',
    );
    expect(good).toContain('Of 5 targets 5 are met, 0 missed. Of 4 comparisons');
    expect(good).toContain(
      `- ${RAMPS}, time to first token at the peak, p99: ${GUARANTEED} 100 ms; ` +
        'static thirds 1000 ms: **10.0 times faster**.',
    );
    const bad = compose([result('elasticity', elasticityRows(140, 400, 3))], 'p').page;
    expect(bad).toContain(
      '- target: move of 10 GiB, one span to one request: 140 ms, wanted at most 100 ms: **missed**.',
    );
    expect(bad).toContain('on the same extents: 3.50x, wanted at most 1.50x: **missed**.');
    expect(bad).toContain('better than static thirds: 2.50x, wanted at least 5.00x: **missed**.');
    expect(bad).toContain('past their deadline: 3.00, wanted at most 0: **missed**.');
    expect(bad).toContain('Of 5 targets 1 are met, 4 missed.');
  });

  it('says where processes that share are slower than static thirds, and than one alone', () => {
    const text = compose([result('elasticity', elasticityRows(55, 1200, 0))], 'p').page;
    expect(text).toContain('1200 ms; static thirds 1000 ms: **20.0 % slower**.');
    expect(text).toContain('9.00 requests; static thirds 10.0 requests: **11.1 % worse**.');
    expect(text).toContain('1200 ms; one process alone 20.0 ms: **60.0 times slower**.');
  });

  it('draws memory over time, and does not list it', () => {
    const { page: text, plots } = compose([result('elasticity', elasticityRows(55, 100, 0))], 'p');
    const chart = plots.get('p/elasticity-nvidia-something-memory-1.svg');
    expect(chart).toMatchObject({ kind: 'lines', xScale: 'linear' });
    expect(chart?.series.map(({ name }) => name)).toEqual([
      'static thirds',
      GUARANTEED,
      'one process alone',
    ]);
    expect(chart?.series[0]?.values).toEqual([
      [1, 25],
      [2, 50],
    ]);
    expect(text).not.toContain('live at');
  });

  it('says of a section without results that it was not measured, and how to', () => {
    const text = compose([], 'p').page;
    for (const bench of [
      'attention',
      'growth',
      'memory',
      'serving-loop',
      'allocator',
      'elasticity',
    ])
      expect(text).toMatch(new RegExp(`Not measured yet\\. .*kvspan bench ${bench}`));
    for (const bench of ['unmodified', 'serving'])
      expect(text).toContain(`python3 bench/${bench} --kvspan`);
  });

  it('of the host backend says that it says nothing of a GPU', () => {
    expect(compose([result('growth', growthRows, 'host')], 'p').page).toContain('nothing of a GPU');
    expect(compose([result('growth', growthRows)], 'p').page).not.toContain('nothing of a GPU');
  });

  it('is the same text and the same drawings each time, readable in the dark', async () => {
    put('attention.json', result('attention', attentionRows(440)));
    put('growth.json', result('growth', growthRows));
    put('memory.json', result('memory', memoryRows));
    put('elasticity.json', result('elasticity', elasticityRows(55, 100, 0)));
    const written = await writeReport(places());
    const first = written.map(path => readFileSync(path, 'utf8'));
    expect(await writeReport(places())).toEqual(written);
    expect(written.map(path => readFileSync(path, 'utf8'))).toEqual(first);
    const plots = readdirSync(join(directory, 'results/plots'));
    expect(plots.length).toBeGreaterThanOrEqual(4);
    for (const plot of plots) {
      expect(page()).toContain(`](results/plots/${plot})`);
      const svg = readFileSync(join(directory, 'results/plots', plot), 'utf8');
      expect(svg).toMatch(/^<svg [^>]*xmlns=/);
      expect(svg).toContain('prefers-color-scheme:dark');
      expect(svg).not.toMatch(/zr\d|ecmeta/);
    }
  });

  it('leaves smoke runs out, and has GPUs before CPUs', () => {
    put('a.json', result('growth', growthRows, 'host'));
    put('b.json', result('growth', growthRows));
    put('c.json', result('growth-smoke', growthRows));
    expect(loadResults(places().results).map(({ backend }) => backend)).toEqual(['cuda', 'host']);
  });

  it('takes a result with parts absent only where there is no complete one, and says so', () => {
    const partial = { ...result('growth', growthRows), absent: ['ahead', 'magazine'] };
    const complete = { ...result('growth', growthRows), commit: 'fedcba543210' };
    const [results, other] = [places().results, { ...partial, device: 'NVIDIA Other' }];
    const first = writeResult(partial, results);
    expect(first).toMatch(/growth-nvidia-something-partial\.json$/);
    expect(compose(loadResults(results), 'plots').page).toContain('without ahead, magazine.');
    const whole = writeResult(complete, results);
    // A complete one ends the partial one; a later partial one does not touch it.
    expect(readdirSync(results)).toEqual([basename(whole)]);
    writeResult(partial, results);
    writeResult(other, results);
    expect(loadResults(results).map(({ commit, device }) => [commit, device])).toEqual([
      ['abcdef012345', 'NVIDIA Other'],
      ['fedcba543210', 'NVIDIA Something'],
    ]);
  });

  it('names the file and the field of a result that is none', () => {
    put('bad.json', result('growth', [{ ...growthRows[0], unit: 'parsec' } as unknown as Row]));
    expect(() => loadResults(places().results)).toThrow(/bad\.json: rows\.0\.unit/);
    writeFileSync(join(directory, 'results/bad.json'), '{');
    expect(() => loadResults(places().results)).toThrow(/bad\.json/);
    expect(() => loadResults(join(directory, 'nowhere'))).toThrow(/--results.*ENOENT/);
  });
});
