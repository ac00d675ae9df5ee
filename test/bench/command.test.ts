/** `kvspan bench`: each bench that needs no GPU, at the sizes of a smoke test, through its command line. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cpuClock, describeGpuClocks } from '../../bench/harness/clocks.js';
import { createProgress } from '../../bench/harness/progress.js';
import { main } from '../../bench/main.js';
import type { BenchResult } from '../../bench/report/results.js';

const RUN_MS = 240_000;

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kvspan-bench-'));
});

afterEach(() => rmSync(directory, { recursive: true }));

async function bench(...args: string[]) {
  let out = '';
  const keep = (chunk: string | Uint8Array): boolean => {
    out += chunk.toString();
    return true;
  };
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation(keep);
  const stderr = vi.spyOn(process.stderr, 'write').mockImplementation(keep);
  try {
    return { code: await main(args), out };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
}

const onHost = (...args: string[]) =>
  bench(...args, '--smoke', '--backend', 'host', '--out', directory);

function results(): BenchResult[] {
  return readdirSync(directory)
    .toSorted()
    .map(name => JSON.parse(readFileSync(join(directory, name), 'utf8')) as BenchResult);
}

const ways = (result: BenchResult) =>
  new Set(result.rows.map(row => row.variant.replace(/: [^:]*$/, '')));

describe('a bench', () => {
  it('memory: every manager ends every request', { timeout: RUN_MS }, async () => {
    const { code, out } = await onHost('memory');
    expect(code).toBe(0);
    const [result] = results() as [BenchResult];
    expect(result).toMatchObject({ bench: 'memory-smoke', backend: 'host' });
    expect(ways(result)).toEqual(
      new Set([
        'preallocated maximum length',
        'blocks of 16 tokens',
        'per-layer 2 MiB pages',
        'kvspan token-major, geometric',
        'kvspan token-major, linear',
      ]),
    );
    const failed = result.rows.filter(row => row.variant.endsWith(': never fitted'));
    expect(failed.map(row => row.median)).toEqual([0, 0, 0, 0, 0]);
    expect(out).toContain(result.commit);
    expect(out).toContain('bench memory: kvspan, ');
  });

  it('growth: prompts and decode steps of every way', { timeout: RUN_MS }, async () => {
    expect((await onHost('growth', '--repeats', '2')).code).toBe(0);
    const [result] = results() as [BenchResult];
    // 7 for prompts and 6 for decode steps, of which 4 are the same.
    expect(ways(result).size).toBe(9);
    for (const row of result.rows) {
      expect(row.n).toBe(2);
      expect(row.median, row.variant).toBeGreaterThan(0);
    }
  });

  it('allocator, and only the part that is asked for', { timeout: RUN_MS }, async () => {
    expect((await onHost('allocator', '--only', 'setup')).code).toBe(0);
    const [result] = results() as [BenchResult];
    expect(new Set(result.rows.map(row => row.case))).toEqual(new Set(['session set-up']));
    expect(result.absent).toEqual(['resident', 'step', 'grant', 'growth']);
    expect(readdirSync(directory)).toEqual([
      expect.stringMatching(/^allocator-smoke-.*-partial\.json$/),
    ]);
  });

  it('elasticity: three processes serve, contend, and move memory', {
    timeout: RUN_MS,
  }, async () => {
    const parts = ['--only', 'move', 'grants', 'ramps', '--seconds', '0.3'];
    const { code, out } = await onHost('elasticity', ...parts);
    expect([code, out]).toEqual([0, expect.stringContaining('bench elasticity: ramps, ')]);
    const [result] = results() as [BenchResult];
    const scenario = result.rows.filter(row => row.case.endsWith('12 out'));
    expect(new Set(scenario.map(row => row.variant.replace(/: .*$/, '')))).toEqual(
      new Set([
        'static thirds',
        'kvspan, guarantees of a quarter',
        'kvspan, no guarantees',
        'one process alone',
      ]),
    );
    const of = (what: string) =>
      result.rows.filter(row => row.variant.endsWith(`: ${what}`)).map(row => row.median);
    expect(of('tokens that were not what was written')).toEqual([0, 0, 0, 0]);
    for (const tokens of of('tokens generated')) expect(tokens).toBeGreaterThan(0);
    expect(of('steps')).toHaveLength(4);
    for (const row of result.rows.filter(({ variant }) => variant === 'ratio to raw'))
      expect(row.median).toBeGreaterThan(0);
    // The file has memory over time; nobody wants to read it in a terminal.
    expect(result.rows.filter(row => row.case.endsWith('over time')).length).toBeGreaterThan(100);
    expect(out).not.toContain('over time');
  });

  it.each(['attention', 'serving-loop'])('%s without a GPU says so and fails', async name => {
    const { code, out } = await onHost(name);
    expect(code).toBe(1);
    expect(out).toContain(`kvspan bench ${name}: its kernels need a GPU`);
    expect(results()).toEqual([]);
  });

  it('reads the trace that is named, as many requests of it as are wanted', {
    timeout: RUN_MS,
  }, async () => {
    const file = new URL('../../package.json', import.meta.url).pathname;
    const { code, out } = await onHost('memory', '--only', 'blocks', '--trace', file);
    expect([code, out]).toEqual([2, expect.stringContaining('package.json:1')]);
    const some = await onHost('memory', '--only', 'blocks', '--requests', '7');
    expect(some.code).toBe(0);
    expect((results()[0] as BenchResult).rows[0]?.case).toContain('7 requests');
  });
});

describe('no name', () => {
  it('means every bench that can run here', { timeout: RUN_MS }, async () => {
    const { code, out } = await onHost('--only', 'attention', 'memory', '--requests', '5');
    expect(code).toBe(0);
    expect(out).toContain('attention: not measured here: its kernels need a GPU');
    expect(results().map(result => result.bench)).toEqual(['memory-smoke']);
  });
});

describe('bad arguments', () => {
  it.each([
    [['growth', '--only', 'nonsense'], 'only: got "nonsense", allowed: prompt, decode'],
    [['--only', 'nonsense'], 'memory, serving-loop, allocator, elasticity'],
    [['elasticity', '--seconds', '0'], 'seconds: got "0", allowed: a number from 0.1'],
    [
      ['elasticity', '--move-bytes', '10GB'],
      'move-bytes: got "10GB", allowed: a multiple of 64MiB',
    ],
    [['memory', '--repeats', '0'], 'repeats: got "0", allowed: an integer from 1'],
    [['memory', '--requests', 'x'], 'requests: got "x", allowed: an integer from 1'],
    [['memory', '--backend', 'tpu'], 'backend: got "tpu", allowed: auto, host or cuda'],
    [['memory', '--out', '/dev/null/x'], '--out: got "/dev/null/x"'],
    [['report', '--results', '/nowhere'], '--results: got "/nowhere"'],
    [['nonsense'], 'kvspan bench: name: got "nonsense", allowed: attention, growth, memory'],
  ])('%j', async (args, message) => {
    const { code, out } = await bench(...args);
    expect([code, out]).toEqual([2, expect.stringContaining(message)]);
  });
});

describe('the header', () => {
  it('has the clocks of a GPU as they were found', () => {
    expect(describeGpuClocks('1755, 1980, 2619, 2619, 700.00\n')).toBe(
      'SM 1755 of 1980 MHz, memory 2619 of 2619 MHz, limit 700.00 W',
    );
    expect(describeGpuClocks('No devices were found')).toBeNull();
  });

  it('has the clock of a CPU that says it', () => {
    expect(cpuClock('processor : 0\ncpu MHz\t\t: 2595.124\n')).toBe('CPU 2595 MHz');
    expect(cpuClock('')).toBeNull();
  });
});

it('progress is a line a part where nobody watches', () => {
  const lines: string[] = [];
  const stream = { isTTY: false, write: (line: string) => lines.push(line) };
  const progress = createProgress('x', 2, stream as unknown as NodeJS.WriteStream);
  progress.begin('first')(0.5);
  progress.end('first');
  progress.stop();
  expect(lines).toEqual([expect.stringMatching(/^bench x: first, \d+\.\d s\n$/)]);
});
