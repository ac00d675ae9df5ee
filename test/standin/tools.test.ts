/** The demo and the benches on the cuda backend, each with a daemon of its own. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { main as bench } from '../../bench/main.js';
import { main as demo } from '../../bench/demo/main.js';
import type { DemoReport } from '../../bench/demo/report.js';
import type { BenchResult } from '../../bench/report/results.js';
import { library, useStandIn } from './support.js';

useStandIn();

const RUN_MS = 240_000;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kvspan-standin-'));
  // Nobody answers there. At the usual place a daemon of whoever runs the tests may serve.
  vi.stubEnv('KVSPAN_SOCKET_DIR', join(directory, 'none'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(directory, { recursive: true });
});
afterEach(() => {
  vi.restoreAllMocks();
  process.env['KVSPAN_CUDA_LIBRARY'] = library;
});

/** Nothing is printed; what would have been. */
function quietly(): () => string {
  let text = '';
  const keep = (chunk: string | Uint8Array): boolean => {
    text += chunk.toString();
    return true;
  };
  vi.spyOn(process.stdout, 'write').mockImplementation(keep);
  vi.spyOn(process.stderr, 'write').mockImplementation(keep);
  return () => text;
}

async function runDemo(...more: string[]): Promise<{ code: number; report: DemoReport }> {
  quietly();
  const json = join(directory, 'demo.json');
  const args = ['--backend', 'cuda', '--json', json, '--no-progress', ...more];
  const code = await demo(args);
  return { code, report: JSON.parse(await readFile(json, 'utf8')) as DemoReport };
}

it('replays 20 requests: every byte right, nothing leaked', { timeout: RUN_MS }, async () => {
  // By the flag alone: it has to reach the daemon too.
  delete process.env['KVSPAN_CUDA_LIBRARY'];
  const flags = ['--requests', '20', '--batch', '6', '--seed', '5', '--cuda-library', library];
  const small = ['--geometry', 'tiny', '--pool-bytes', '256MiB'];
  const { code, report } = await runDemo(...flags, ...small);
  expect(report).toMatchObject({
    backend: 'cuda',
    device: 'stand-in',
    requests: { total: 20, completed: 20, failed: 0 },
    mismatches: 0,
    leaks: { extents: 0, bytes: 0, fds: 0 },
    attention: { computedShare: 1 },
  });
  expect(report.traffic.verifiedBytes).toBe(report.traffic.writtenBytes);
  expect(report.attention.checks).toBeGreaterThan(100);
  expect(report.attention.maxRelativeError).toBeLessThan(1e-4);
  expect(code).toBe(0);
});

it('replays with layers apart, in fp32', { timeout: RUN_MS }, async () => {
  const geometry = 'layers=3,kvHeads=2,headDim=32,dtype=fp32,layout=layer-major';
  const { code, report } = await runDemo('--requests', '6', '--geometry', geometry);
  expect(report).toMatchObject({
    backend: 'cuda',
    requests: { total: 6, completed: 6 },
    mismatches: 0,
    leaks: { extents: 0, bytes: 0, fds: 0 },
  });
  expect(code).toBe(0);
});

it('preempts when the pool is too small, and every byte is right', {
  timeout: RUN_MS,
}, async () => {
  // 128 KiB a token, 64 MiB: 512 tokens in all. No two of 460 fit at once.
  const file = join(directory, 'trace');
  const lines = Array.from({ length: 3 }, () => '60,400');
  await writeFile(file, ['num_prefill_tokens,num_decode_tokens', ...lines, ''].join('\n'));
  const flags = ['--trace', file, '--geometry', 'llama-8b', '--pool-bytes', '64MiB'];
  const { code, report } = await runDemo(...flags);
  expect(report).toMatchObject({
    requests: { total: 3, completed: 3, failed: 0 },
    mismatches: 0,
    leaks: { extents: 0, bytes: 0, fds: 0 },
  });
  expect(report.requests.preempted).toBeGreaterThan(0);
  expect(code).toBe(0);
});

it.each(['allocator', 'growth', 'memory'])(
  'measures every part of the %s bench',
  {
    timeout: RUN_MS,
  },
  async name => {
    quietly();
    expect(await bench([name, '--smoke', '--backend', 'cuda', '--out', directory])).toBe(0);
    const [file] = (await readdir(directory)).filter(one => one.startsWith(`${name}-smoke`));
    const text = await readFile(join(directory, file as string), 'utf8');
    const result = JSON.parse(text) as BenchResult;
    expect(result).toMatchObject({ backend: 'cuda', device: 'stand-in' });
    expect(result.rows.length).toBeGreaterThan(20);
    for (const row of result.rows) expect(Number.isFinite(row.median)).toBe(true);
  },
);

it('says why there is no attention bench without kernels', { timeout: RUN_MS }, async () => {
  const said = quietly();
  // Whether or not this checkout has built them.
  process.env['KVSPAN_KERNELS'] = '/nowhere';
  try {
    expect(await bench(['attention', '--smoke', '--backend', 'cuda', '--out', directory])).toBe(1);
  } finally {
    delete process.env['KVSPAN_KERNELS'];
  }
  expect(said()).toMatch(/kvspan bench attention: .*npm run kernels/);
});
