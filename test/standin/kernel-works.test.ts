/** What `prepare` and the plans refuse, by the path of the field; over the stand-in driver. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, afterEach, expect, it } from 'vitest';
import {
  type AppendWork,
  type DecodeWork,
  type Kernels,
  type KernelWork,
  loadNative,
} from '../../native/index.js';
import { library, useStandIn } from './support.js';

useStandIn();

const shape = { dtype: 'bf16', queryHeads: 8, kvHeads: 2, headDim: 128 } as const;
const options = { scale: 0.1, softCap: null, window: null, alibiSlopes: null } as const;
let folder: string;
let kernels: Kernels;
let at: bigint;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvspan-fatbins-'));
  for (const name of ['read', 'append_bf16_d128', 'decode_bf16_d128', 'prefill_bf16_d128'])
    writeFileSync(join(folder, `${name}.fatbin`), 'module');
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  kernels = loadNative().openKernels({ ordinal: 0, library, folder });
  at = kernels.allocate(1n << 20n);
});
afterEach(() => kernels.close());

const tensor = () => ({
  address: at,
  slotStrideBytes: 1n << 16n,
  tokenStrideBytes: 512n,
  headStrideBytes: 256n,
});
const pagedTensor = () => ({
  address: at,
  pageStrideBytes: 8192n,
  tokenStrideBytes: 512n,
  headStrideBytes: 256n,
});
const rows = (rowStrideBytes: bigint) => ({ address: at, rowStrideBytes, headStrideBytes: 256n });

const append = (more: Partial<AppendWork> = {}): AppendWork => ({
  kind: 'append',
  shape,
  kv: { kind: 'contiguous', k: tensor(), v: tensor(), slots: at },
  newK: rows(512n),
  newV: rows(512n),
  requests: 4,
  rowsMax: 4,
  lengths: at,
  rowStarts: null,
  ...more,
});

const decode = (more: Partial<DecodeWork> = {}): DecodeWork => ({
  kind: 'decode',
  shape,
  kv: {
    kind: 'paged',
    k: pagedTensor(),
    v: pagedTensor(),
    pageTokens: 16,
    blockTable: at,
    blockTableEntries: 7,
  },
  queries: rows(2048n),
  out: rows(2048n),
  options,
  plan: planOf(shape),
  ...more,
});

const planOf = (of: typeof shape) =>
  kernels.createDecodePlan({ shape: of, requestsMax: 4, tokensMax: 100, window: null });

const refusal = (...works: KernelWork[]): string => {
  try {
    kernels.prepare(works).close();
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

it('works that are as they should be', () => {
  expect(refusal(append(), decode(), append({ rowsMax: 1, rowStarts: at }))).toBe('');
});

it('what is wrong with a work is told by its place and path', () => {
  const k = { ...tensor(), tokenStrideBytes: 24n };
  const kv = { kind: 'contiguous', k, v: tensor(), slots: at } as const;
  expect(refusal(append(), append({ kv }))).toMatch(
    /^works\[1\]\.kv\.k\.tokenStrideBytes: got 24, /,
  );
  expect(refusal(append({ rowsMax: 3 }))).toMatch(/^works\[0\]\.rowsMax: got 3, .* 4, where each/);
  expect(refusal(append({ shape: { ...shape, headDim: 96 } }))).toMatch(
    /^works\[0\]\.shape\.headDim: got 96, allowed: 64, 128 or 256/,
  );
  expect(refusal(decode({ out: rows(2040n) }))).toMatch(
    /^works\[0\]\.out\.rowStrideBytes: got 2040/,
  );
  expect(refusal({ kind: 'fill', address: 0n, bytes: 16n, byte: 0 })).toMatch(
    /^works\[0\]\.address: got 0, allowed: a device address/,
  );
});

it('a table that is too narrow for the longest request of the plan', () => {
  const { kv } = decode();
  expect(refusal(decode({ kv: { ...kv, blockTableEntries: 6 } as DecodeWork['kv'] }))).toMatch(
    /^works\[0\]\.kv\.blockTableEntries: got 6, allowed: at least 7 pages for 100 tokens/,
  );
});

it('a plan of another shape, one that is closed, and what is none', () => {
  const other = { ...shape, queryHeads: 16 } as unknown as typeof shape;
  expect(refusal(decode({ plan: planOf(other) }))).toMatch(
    /^works\[0\]\.plan: got a plan for another/,
  );
  const plan = planOf(shape);
  plan.close();
  plan.close();
  expect(refusal(decode({ plan }))).toContain('the plan is closed');
  expect(refusal(decode({ plan: {} as DecodeWork['plan'] }))).toMatch(
    /^works\[0\]\.plan: got object/,
  );
  expect(refusal(decode({ options: { ...options, window: 5 } }))).toMatch(
    /^works\[0\]\.options\.window: got 5, allowed: the plan's, 0/,
  );
});
