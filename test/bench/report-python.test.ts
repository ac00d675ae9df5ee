/** The report's sections of the benches in Python, from results that are made here. */
import { describe, expect, it } from 'vitest';
import { parseResult } from '../../bench/report/load.js';
import { compose } from '../../bench/report/report.js';
import type { BenchResult, Note, Row, Unit } from '../../bench/report/results.js';

const row = (name: string, variant: string, unit: Unit, median: number): Row => ({
  case: name,
  variant,
  unit,
  median,
  min: median * 0.9,
  max: median * 1.1,
  n: 30,
});

const result = (bench: string, rows: Row[], notes: Note[] = []): BenchResult => ({
  bench,
  device: 'NVIDIA Something',
  backend: 'cuda',
  driver: '1.2.3',
  commit: 'abcdef012345',
  date: '2026-11-24T10:00:00.000Z',
  machine: { cpu: 'A CPU', cores: 8, python: '3.12.3', libraries: { torch: '2.11.0' } },
  rows,
  notes,
});

const DECODE = 'decode, 64 x 4096';
const onSpans = (kernel: string): string => `${kernel} on kvspan, token-major (16 layers)`;

/** One kernel: on spans, on the driver's memory in the same layout, and on pages. */
function kernelRows(kernel: string, times: readonly [number, number, number], plan = 0): Row[] {
  const [spans, plain, pages] = times;
  return [
    row(DECODE, `${onSpans(kernel)}: time`, 'us', spans),
    row(DECODE, `${onSpans(kernel)}: speed`, 'GB/s', 2500),
    row(DECODE, `${onSpans(kernel)}: host planning`, 'us', plan),
    row(DECODE, `${kernel} on cudaMalloc, token-major (16 layers): time`, 'us', plain),
    row(DECODE, `${kernel} on cudaMalloc, layer by layer: time`, 'us', 77),
    row(DECODE, `${kernel} on pages of 16: time`, 'us', pages),
    row(DECODE, `${kernel} on pages of 16: host planning`, 'us', 2 * plan),
  ];
}

const pageOf = (...results: BenchResult[]): string => compose(results, 'p').page;

describe('unmodified kernels', () => {
  it('says of a kernel whether kvspan costs it anything, and pages', () => {
    const text = pageOf(result('unmodified-kernels', kernelRows('Triton', [430, 400, 420])));
    expect(text).toContain(
      `- ${DECODE}: ${onSpans('Triton')} 430 us; ` +
        'Triton on cudaMalloc, token-major (16 layers) 400 us: **7.50 % slower**.',
    );
    expect(text).toContain('Triton on pages of 16 420 us: **2.38 % slower**.');
    // Neither plans, and what has other strides is not its twin.
    expect(text).toContain('Of 2 comparisons kvspan is better in 0, equal in 0, worse in 2.');
    const equal = pageOf(result('unmodified-kernels', kernelRows('Triton', [400, 401, 440])));
    expect(equal).toContain('(16 layers) 401 us: **equal**.');
    expect(equal).toContain('pages of 16 440 us: **10.0 % faster**.');
  });

  it('compares layer-major with memory that was allocated layer by layer', () => {
    const rows = [
      row(DECODE, 'Triton on kvspan, layer-major: time', 'us', 100),
      row(DECODE, 'Triton on cudaMalloc, layer by layer: time', 'us', 50),
    ];
    expect(pageOf(result('unmodified-kernels', rows))).toContain(
      'layer-major 100 us; Triton on cudaMalloc, layer by layer 50.0 us: **2.00 times slower**.',
    );
  });

  it('sets the best of a library on spans beside its best on pages, and the planning', () => {
    const rows = [
      ...kernelRows('FlashInfer fa2, gaps', [363, 363, 370], 92),
      ...kernelRows('FlashInfer fa2, in-order pages', [380, 380, 340], 100),
    ];
    const text = pageOf(result('unmodified-kernels', rows));
    expect(text).toContain(
      `the best of FlashInfer on spans and on pages: ${onSpans('FlashInfer fa2, gaps')} 363 us; ` +
        'FlashInfer fa2, in-order pages on pages of 16 340 us: **6.76 % slower**.',
    );
    expect(text).toContain('pages of 16 184 us: **2.00 times faster**.');
  });

  it('tells how each was called, and why one was not, once for all cases', () => {
    const notes: Note[] = [
      { case: 'a', way: onSpans('X'), text: 'f(x | y)' },
      { case: 'b', way: 'X on kvspan, token-major (32 layers)', text: 'f(x | y)' },
      { case: 'b', way: 'X on pages of 16', text: 'not run: there is none' },
    ];
    const rows = kernelRows('X', [1, 1, 1]);
    const text = pageOf(result('unmodified-kernels', rows, notes));
    expect(text).toContain('| X on kvspan, token-major | f(x \\| y) | all |');
    expect(text).toContain('| X on pages of 16 | not run: there is none | b |');
  });

  it('names the Python and the libraries that ran', () => {
    const text = pageOf(result('unmodified-kernels', kernelRows('X', [1, 1, 1])));
    expect(text).toContain('8 cores; Python 3.12.3, torch 2.11.0; commit');
    expect(text).not.toContain('undefined');
  });
});

const CASE = '8B, a: 60 requests in 40 GiB';

const managerRows = (name: string, tokens: number, first: number, taken: number): Row[] => [
  row(CASE, `${name}: tokens generated`, 'tokens/s', tokens),
  row(CASE, `${name}: time to first token, p99`, 'ms', first),
  row(CASE, `${name}: memory taken from the device, peak`, 'GiB', taken),
];

describe('serving', () => {
  it('says which manager serves more, sooner, on less, whichever it is', () => {
    const rows = [
      ...managerRows('kvspan', 900, 700, 30),
      ...managerRows('paged, 16', 1000, 500, 40),
    ];
    const text = pageOf(result('serving', rows));
    expect(text).toContain('kvspan 900 tokens/s; paged, 16 1000 tokens/s: **11.1 % worse**.');
    expect(text).toContain('kvspan 700 ms; paged, 16 500 ms: **40.0 % slower**.');
    expect(text).toContain('kvspan 30.0 GiB; paged, 16 40.0 GiB: **33.3 % less**.');
    expect(text).toContain('Of 3 comparisons kvspan is better in 1, equal in 0, worse in 2.');
    const other = [
      ...managerRows('kvspan', 1000, 500, 40),
      ...managerRows('paged, 16', 900, 700, 30),
    ];
    expect(pageOf(result('serving', other))).toContain(
      'kvspan 40.0 GiB; paged, 16 30.0 GiB: **33.3 % more**.',
    );
  });

  it('says whether the tokens were the same, and counts a difference against kvspan', () => {
    const rows = [
      row('8B: verified', 'kvspan: same tokens', 'share', 1),
      row('8B: verified', 'paged, 16: same tokens', 'share', 0.75),
    ];
    const text = pageOf(result('serving', rows));
    expect(text).toContain('- 8B: verified: kvspan: **100 % of the same tokens**.');
    expect(text).toContain('- 8B: verified: paged, 16: **75.0 % of the same tokens**.');
    expect(text).toContain('equal in 1, worse in 1');
  });

  it('draws throughput and how many ran at once', () => {
    const { plots } = compose([result('serving', managerRows('kvspan', 9, 7, 3))], 'p');
    expect([...plots.keys()]).toEqual([
      'p/serving-nvidia-something-tokens.svg',
      'p/serving-nvidia-something-at-once.svg',
    ]);
  });
});

describe('a result of a bench in Python', () => {
  it('is read with its notes and libraries', () => {
    const told = result('serving', managerRows('kvspan', 9, 7, 3), [
      { case: CASE, way: 'kvspan', text: 'x' },
    ]);
    expect(parseResult('a.json', JSON.stringify(told))).toEqual(told);
  });

  it('is refused if a note is none', () => {
    const told = { ...result('serving', managerRows('kvspan', 9, 7, 3)), notes: [{ case: 'a' }] };
    expect(() => parseResult('a.json', JSON.stringify(told))).toThrow(/a\.json: notes\.0\.way/);
  });
});
