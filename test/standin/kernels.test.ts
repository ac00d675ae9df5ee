/**
 * The benches that run kernels, on a device that computes nothing: every plan, launch and copy of them
 * passes the host's own checks, and those of a driver.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { main } from '../../bench/main.js';
import type { BenchResult } from '../../bench/report/results.js';
import { loadNative } from '../../native/index.js';
import { library, setStandIn, useStandIn } from './support.js';

useStandIn();

const RUN_MS = 90_000;
const fatbins = ['append', 'decode', 'prefill', 'prefill_sm90'].map(name => `${name}_bf16_d128`);
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvspan-fatbins-'));
  for (const name of [...fatbins, 'read']) writeFileSync(join(folder, `${name}.fatbin`), 'module');
  process.env['KVSPAN_KERNELS'] = folder;
});
afterAll(() => {
  delete process.env['KVSPAN_KERNELS'];
  rmSync(folder, { recursive: true });
});

let out: string;
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'kvspan-results-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(out, { recursive: true });
});

async function bench(...args: string[]): Promise<{ code: number; text: string }> {
  let text = '';
  const keep = (chunk: string | Uint8Array): boolean => {
    text += chunk.toString();
    return true;
  };
  vi.spyOn(process.stdout, 'write').mockImplementation(keep);
  vi.spyOn(process.stderr, 'write').mockImplementation(keep);
  const code = await main([...args, '--smoke', '--backend', 'cuda', '--out', out]);
  return { code, text };
}

const resultOf = (name: string): BenchResult =>
  JSON.parse(readFileSync(join(out, name), 'utf8')) as BenchResult;

it('attention: every layout of every case', { timeout: RUN_MS }, async () => {
  const { code, text } = await bench('attention', '--repeats', '4');
  expect(code, text).toBe(0);
  const { rows } = resultOf('attention-smoke-stand-in.json');
  const timed = rows.filter(row => row.variant.endsWith(': time'));
  // A plain, two spans and four page sizes; three batches, and two prompts by two kernels.
  expect(timed).toHaveLength(7 * (3 + 2 * 2));
  expect(new Set(timed.map(row => row.n))).toEqual(new Set([4]));
});

it('serving-loop: over spans and over blocks', { timeout: RUN_MS }, async () => {
  const { code, text } = await bench('serving-loop');
  expect(code, text).toBe(0);
  const { rows } = resultOf('serving-loop-smoke-stand-in.json');
  const ways = new Set(rows.map(row => row.variant.split(':')[0]));
  expect(ways).toEqual(new Set(['contiguous on kvspan', 'paged, 16']));
});

it('a bench that the device has no memory for does not end the others', {
  timeout: RUN_MS,
}, async () => {
  setStandIn('BYTES', String(60 * 1024 ** 2));
  const { code, text } = await bench('--only', 'attention', 'allocator', '--requests', '3');
  expect(code).toBe(1);
  expect(text).toContain('kvspan bench attention: ');
  expect(text).toMatch(/^(bench allocator|kvspan bench allocator): /m);
  expect(readdirSync(out).filter(name => name.startsWith('attention'))).toEqual([]);
});

const open = () => loadNative().openKernels({ ordinal: 0, library, folder });

it('closed kernels have given everything back, whatever is still held', () => {
  const kernels = open();
  const before = kernels.device.freeBytes;
  const shape = { dtype: 'bf16', queryHeads: 8, kvHeads: 2, headDim: 128 } as const;
  const plan = kernels.createDecodePlan({ shape, requestsMax: 4, tokensMax: 100, window: null });
  const address = kernels.allocate(1n << 20n);
  const batch = kernels.prepare([{ kind: 'read', address, bytes: 1n << 20n }]);
  expect(kernels.device.freeBytes).toBeLessThan(before);
  kernels.close();
  kernels.close();
  const again = open();
  expect(again.device.freeBytes).toBe(before);
  again.close();
  expect(() => batch.launch(0n)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  expect(() => plan.update(Int32Array.of(1), 0n)).toThrow(
    expect.objectContaining({ code: 'CLOSED' }),
  );
  batch.close();
  plan.close();
});

it("the reference of the kernels' tests is the formula", () => {
  const args = ['--library', library, '--folder', folder, '--match', 'reference: '];
  const text = execFileSync(join(library, '../../kvspan-kerneltest'), args, { encoding: 'utf8' });
  expect(text).toMatch(/^1 passed, 0 failed$/m);
});
