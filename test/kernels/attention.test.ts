import { describe, expect, it } from 'vitest';
import { Random } from '../../bench/trace/random.js';
import { referenceAttention, relativeError } from '../../kernels/reference/attention.js';
import { type AttendBufferRequest, loadNative } from '../../native/index.js';
import { type Case, makeCase, type Shape } from './case.js';

/** Float32 against float64; scores of normal values. */
const TOLERANCE = 1e-5;

/** On a machine that is busy with other things. */
const SLOW_MS = 240_000;

const plain: Shape = {
  dtype: 'bf16',
  kvHeads: 2,
  queryHeads: 4,
  headDim: 64,
  queryCount: 1,
  length: 100,
  gapElements: 8,
  rowsBehind: 256,
};

async function errorOf({ data, kernel, reference }: Case): Promise<number> {
  const before = data.slice();
  const answer = await loadNative().attendBuffer(data, kernel);
  expect(Buffer.compare(data, before)).toBe(0);
  return relativeError(answer, referenceAttention(data, reference));
}

async function expectAgreement(
  shape: Shape,
  seed: number,
  value?: (random: Random) => number,
): Promise<void> {
  const random = new Random(seed);
  const made = makeCase(shape, random, value === undefined ? undefined : () => value(random));
  expect(await errorOf(made), JSON.stringify(shape)).toBeLessThan(TOLERANCE);
}

describe('the dense kernel agrees with the reference', () => {
  it.each([1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1000, 4099])(
    'over %i tokens',
    async length => {
      await expectAgreement({ ...plain, length }, length);
      await expectAgreement({ ...plain, length, dtype: 'fp32' }, length);
    },
  );

  it.each([1, 2, 3, 8, 15, 16, 17, 31, 64, 80, 128, 192, 256, 576])(
    'for heads of %i',
    async headDim => {
      await expectAgreement({ ...plain, headDim }, headDim);
      await expectAgreement({ ...plain, headDim, dtype: 'fp32' }, headDim);
    },
  );

  it.each([
    [1, 1],
    [1, 8],
    [3, 3],
    [2, 14],
    [8, 32],
    [5, 35],
  ])('for %i KV heads under %i query heads', async (kvHeads, queryHeads) => {
    await expectAgreement({ ...plain, kvHeads, queryHeads }, queryHeads);
  });

  it.each([
    [1, 1],
    [2, 2],
    [7, 100],
    [64, 64],
    [65, 130],
    [100, 100],
  ])('for %i causal queries over %i tokens', async (queryCount, length) => {
    await expectAgreement({ ...plain, queryCount, length }, length);
    await expectAgreement({ ...plain, queryCount, length, dtype: 'fp32' }, length);
  });

  it('over a long request', { timeout: SLOW_MS }, async () => {
    await expectAgreement({ ...plain, kvHeads: 1, queryHeads: 2, headDim: 32, length: 40_000 }, 1);
  });

  it('for 300 random shapes with gaps between rows', { timeout: SLOW_MS }, async () => {
    const random = new Random(5);
    for (let round = 0; round < 300; round++) {
      const kvHeads = random.integer(1, 4);
      const length = random.integer(1, 200);
      await expectAgreement(
        {
          dtype: random.integer(0, 1) === 0 ? 'bf16' : 'fp32',
          kvHeads,
          queryHeads: kvHeads * random.integer(1, 4),
          headDim: random.integer(1, 96),
          queryCount: random.integer(1, Math.min(length, 9)),
          length,
          gapElements: random.integer(0, 33),
          rowsBehind: random.integer(0, 3),
        },
        round,
      );
    }
  });
});

describe('extreme values', () => {
  it('of scores that overflow an exponential', async () => {
    await expectAgreement({ ...plain, dtype: 'fp32' }, 1, random => random.normal() * 1e4);
  });

  it('of equal, tiny and huge rows', async () => {
    for (const size of [0, 1e-40, 1e-20, 1, 1e15]) {
      const made = makeCase({ ...plain, dtype: 'fp32' }, new Random(2), () => size);
      const answer = await loadNative().attendBuffer(made.data, made.kernel);
      for (const value of answer) expect(Math.abs(value - size)).toBeLessThanOrEqual(size * 1e-5);
    }
  });

  it('of one key that outweighs all others, wherever it is', async () => {
    for (const hot of [0, 63, 64, 99]) {
      const made = makeCase(
        { ...plain, kvHeads: 1, queryHeads: 1, headDim: 1, gapElements: 0, dtype: 'fp32' },
        new Random(3),
        () => 0,
      );
      const rows = new Float32Array(made.data.buffer);
      rows[hot * 2] = 200;
      rows[hot * 2 + 1] = 7;
      const answer = await loadNative().attendBuffer(made.data, {
        ...made.kernel,
        queries: new Float32Array([1]),
      });
      expect(answer[0]).toBeCloseTo(7, 5);
    }
  });

  it('a NaN within the request is not hidden', async () => {
    const made = makeCase({ ...plain, dtype: 'fp32' }, new Random(4));
    new Float32Array(made.data.buffer)[0] = Number.NaN;
    const answer = await loadNative().attendBuffer(made.data, made.kernel);
    expect(answer[0]).toBeNaN();
  });
});

describe('bad shapes are refused by name', () => {
  const made = makeCase({ ...plain, rowsBehind: 0 }, new Random(6));
  it.each<[string, Partial<AttendBufferRequest>, RegExp]>([
    [
      'query heads that are no multiple',
      { queryHeads: 3, queries: new Float32Array(3 * 64) },
      /queryHeads.*multiple of kvHeads/,
    ],
    ['no KV heads', { kvHeads: 0 }, /kvHeads/],
    ['no head', { headDim: 0, queries: new Float32Array(0) }, /headDim|queries/],
    ['a head beyond the limit', { headDim: 2048, queries: new Float32Array(4 * 2048) }, /headDim/],
    ['queries that are no whole number', { queries: new Float32Array(100) }, /quer/],
    ['no query', { queries: new Float32Array(0) }, /quer/],
    ['a length of 0', { length: 0 }, /length/],
    [
      'more queries than tokens',
      { length: 1, queries: new Float32Array(2 * 4 * 64) },
      /length|quer/,
    ],
    ['rows behind the buffer', { length: 101 }, /./],
    ['values behind the buffer', { vOffset: made.kernel.rowBytes }, /./],
    ['rows of odd bytes', { rowBytes: made.kernel.rowBytes - 1 }, /rowBytes|tokenStride/],
    ['rows that overlap', { rowBytes: 2 }, /rowBytes|tokenStride/],
    ['a scale that is none', { scale: Number.NaN }, /scale/],
  ])('%s', async (_, change, message) => {
    const attempt = async () => loadNative().attendBuffer(made.data, { ...made.kernel, ...change });
    await expect(attempt()).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
  });
});
