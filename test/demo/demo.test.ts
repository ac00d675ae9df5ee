/** The whole demo: a private or a running daemon, a session of its own, a report. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { probe } from '../../bench/demo/admin.js';
import { type DemoDaemon, startDaemon } from '../../bench/demo/daemon.js';
import { main } from '../../bench/demo/main.js';
import type { DemoReport } from '../../bench/demo/report.js';
import { drawTrace } from '../../bench/trace/synthetic.js';

const RUN_MS = 240_000;

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kvspan-demo-test-'));
  // Nobody answers there. At the usual place a daemon of whoever runs the tests may serve.
  vi.stubEnv('KVSPAN_SOCKET_DIR', join(directory, 'none'));
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(directory, { recursive: true });
});

/** Runs the command; what it printed, its exit code, and its JSON if it wrote one. */
async function demo(...args: string[]) {
  const json = join(directory, 'report.json');
  await rm(json, { force: true });
  let out = '';
  const keep = (chunk: string | Uint8Array): boolean => {
    out += chunk.toString();
    return true;
  };
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation(keep);
  const stderr = vi.spyOn(process.stderr, 'write').mockImplementation(keep);
  try {
    const code = await main([...args, '--json', json, '--no-progress']);
    const text = await readFile(json, 'utf8').catch(() => 'null');
    return { code, out, report: JSON.parse(text) as DemoReport };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
}

async function trace(lines: string[]): Promise<string> {
  const file = join(directory, 'trace');
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}

describe('the demo with a daemon of its own', () => {
  it('replays 20 drawn requests, and the report adds up', { timeout: RUN_MS }, async () => {
    const { code, out, report } = await demo(
      '--requests',
      '20',
      '--batch',
      '6',
      '--seed',
      '5',
      '--geometry',
      'tiny',
      '--backend',
      'host',
    );
    expect(out).toContain('nothing leaked');
    expect(code).toBe(0);
    const drawn = drawTrace(20, 5);
    const sum = (of: 'promptTokens' | 'answerTokens') =>
      drawn.reduce((total, request) => total + request[of], 0);
    expect(report).toMatchObject({
      backend: 'host',
      requests: { total: 20, completed: 20, failed: 0, preempted: 0 },
      tokens: { prompt: sum('promptTokens'), generated: sum('answerTokens'), recomputed: 0 },
      mismatches: 0,
      leaks: { extents: 0, bytes: 0, fds: 0 },
    });
    const { steps, memory, attention, traffic, geometry } = report;
    const bytes = (sum('promptTokens') + sum('answerTokens')) * geometry.tokenBytes;
    expect(traffic).toEqual({ writtenBytes: bytes, verifiedBytes: bytes });
    // One for each token, and one for the prompt when it is complete.
    expect(attention).toMatchObject({ computed: sum('answerTokens') + 20, computedShare: 1 });
    expect(attention.checks).toBeGreaterThanOrEqual(300);
    expect(attention.maxRelativeError).toBeLessThan(1e-4);
    expect(attention.maxRelativeError).toBeGreaterThan(0);
    expect(steps.histogram.reduce((total, bucket) => total + bucket.count, 0)).toBe(steps.count);
    expect(steps.p50Us).toBeLessThanOrEqual(steps.p99Us);
    expect(steps.p99Us).toBeLessThanOrEqual(steps.p999Us);
    expect(memory.peakLiveBytes).toBeGreaterThan(0);
    expect(memory.behindLiveBytes).toBeGreaterThanOrEqual(memory.peakLiveBytes);
    expect(memory.blocks16Bytes).toBeGreaterThanOrEqual(memory.peakLiveBytes);
    expect(memory.peakMappedBytes).toBeGreaterThanOrEqual(
      memory.behindLiveBytes + memory.idleBytes,
    );
    expect(memory.peakMappedBytes).toBeLessThanOrEqual(memory.poolBytes);
    expect(memory.preallocatedBytes).toBe(6 * geometry.maxTokens * geometry.tokenBytes);
  });

  it('preempts when the pool is too small, and fails only what never fits', {
    timeout: RUN_MS,
  }, async () => {
    // 128 KiB a token, 64 MiB: 512 tokens in all. No two of 460 fit at once, 600 never do.
    const lengths: [number, number][] = [
      [60, 400],
      [60, 400],
      [590, 10],
      [60, 400],
      [60, 400],
    ];
    const file = await trace([
      'num_prefill_tokens,num_decode_tokens',
      ...lengths.map(pair => pair.join(',')),
    ]);
    const { code, out, report } = await demo(
      '--trace',
      file,
      '--geometry',
      'llama-8b',
      '--pool-bytes',
      '64MiB',
      '--backend',
      'host',
    );
    expect(report, out).toMatchObject({
      requests: { total: 5, completed: 4, failed: 1 },
      mismatches: 0,
      leaks: { extents: 0, bytes: 0, fds: 0 },
    });
    expect(report.requests.preempted).toBeGreaterThan(0);
    expect(report.tokens.recomputed).toBeGreaterThan(0);
    expect(code).toBe(1);
    expect(out).toContain('1 requests failed');
  });

  it('verifies layers that lie apart, in fp32', { timeout: RUN_MS }, async () => {
    const geometry = 'layers=3,kvHeads=2,headDim=32,dtype=fp32,layout=layer-major';
    const { code, out, report } = await demo(
      '--requests',
      '6',
      '--geometry',
      geometry,
      '--backend',
      'host',
    );
    expect(code, out).toBe(0);
    expect(report.requests.completed).toBe(6);
    expect(report.attention.maxRelativeError).toBeLessThan(1e-4);
  });
});

describe('the demo with a daemon that runs', () => {
  let daemon: DemoDaemon;

  beforeAll(async () => {
    daemon = await startDaemon({ backend: 'host', serveArguments: [] });
  }, RUN_MS);

  afterAll(async () => {
    await daemon.stop();
  });

  it('uses it, leaves nothing in it, and leaves it running', { timeout: RUN_MS }, async () => {
    const file = await trace(
      [0, 30].map(ms => JSON.stringify({ timestamp: ms, input_length: 900, output_length: 20 })),
    );
    const { code, out, report } = await demo(
      '--trace',
      file,
      '--socket-directory',
      daemon.socketDirectory,
    );
    expect(code, out).toBe(0);
    expect(report.tokens).toEqual({ prompt: 1800, generated: 40, recomputed: 0 });
    const pool = await probe(daemon.socketDirectory);
    expect(pool).toMatchObject({ usedBytes: 0, extents: 0 });
  });

  it('refuses a backend that it does not serve', { timeout: RUN_MS }, async () => {
    const { code, out } = await demo(
      '--socket-directory',
      daemon.socketDirectory,
      '--backend',
      'cuda',
    );
    expect(out).toContain('backend: got "cuda", allowed: host');
    expect(code).toBe(2);
  });
});

describe('the command line', () => {
  it.each([
    [['--requests', '0'], '--requests: got "0"'],
    [['--batch', '1e9'], '--batch: got "1e9"'],
    [['--seed', ''], '--seed: got ""'],
    [['--geometry', 'giant'], 'geometry: got "giant"'],
    [['--trace', '/does/not/exist'], 'ENOENT'],
    [['--backend', 'rocm'], 'rocm'],
    [['--nonsense'], 'nonsense'],
  ])('refuses %j with a sentence', async (args, message) => {
    const { code, out, report } = await demo(...args);
    expect(out).toContain(message);
    expect(code).toBe(2);
    expect(report).toBeNull();
  });

  it('says that nobody answers at a directory that was named', async () => {
    const { code, out } = await demo('--socket-directory', join(directory, 'nobody'));
    expect(out).toContain('no daemon answers');
    expect(code).toBe(1);
  });
});
