/** What the attention bench prepares, checked to the last address without a GPU. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decodeCase,
  decodeCases,
  flopsOf,
  kvBytesOf,
  prefillCase,
  skewedLengths,
} from '../../bench/attention/cases.js';
import { Gpu, plausibleRows } from '../../bench/attention/gpu.js';
import {
  layersThatFit,
  pageSizes,
  placePaged,
  placePlain,
  placeSpans,
} from '../../bench/attention/layouts.js';
import { sample, speedOf } from '../../bench/attention/measure.js';
import { caseRows } from '../../bench/attention/rows.js';
import { packedStarts, shuffled, shuffledTables } from '../../bench/attention/tables.js';
import { type DemoDaemon, startDaemon } from '../../bench/demo/daemon.js';
import { UNMARKED } from '../../bench/harness/rig.js';
import { connect, type Session } from '../../client/typescript/index.js';
import { FAKE_US, FakeKernels, mappedHere } from './fake-kernels.js';

let daemon: DemoDaemon;
let session: Session;

beforeAll(async () => {
  daemon = await startDaemon({ backend: 'host', serveArguments: ['--pool-bytes', '256MiB'] });
  session = await connect({ socketDirectory: daemon.socketDirectory, name: 'test', ...UNMARKED });
});

afterAll(async () => {
  await session.close();
  await daemon.stop();
});

describe('cases', () => {
  it('count the bytes of K and V once, and the pairs that a causal mask leaves', () => {
    // 2 x 8 heads x 128 x 2 bytes = 4 KiB a token.
    expect(kvBytesOf(decodeCase('', [3, 5]))).toBe(8 * 4096);
    // 3 queries behind 2 tokens see 3, 4 and 5 keys; 4 operations a pair, 32 heads of 128.
    expect(flopsOf(prefillCase(3, 2))).toBe((3 + 4 + 5) * 4 * 32 * 128);
    expect(flopsOf(decodeCase('', [7]))).toBe(7 * 4 * 32 * 128);
  });

  it('count beyond 32 bits', () => {
    const tokens = 65_536;
    const pairs = (tokens * (tokens + 1)) / 2;
    expect(flopsOf(prefillCase(tokens, 0))).toBe(pairs * 4 * 32 * 128);
  });

  it('draw a batch from the trace, each request somewhere in its answer, the same each time', () => {
    const trace = [
      { arrivalMs: 0, promptTokens: 10, answerTokens: 5 },
      { arrivalMs: 0, promptTokens: 1000, answerTokens: 0 },
    ];
    const lengths = skewedLengths(trace, 200, 1);
    for (const length of lengths)
      expect((length >= 10 && length <= 15) || length === 1000).toBe(true);
    expect(new Set(lengths).size).toBe(7);
    expect(skewedLengths(trace, 200, 1)).toEqual(lengths);
    expect(skewedLengths(trace, 200, 2)).not.toEqual(lengths);
  });

  it('are those that were promised', () => {
    const trace = { name: 'x', requests: [{ arrivalMs: 0, promptTokens: 10, answerTokens: 5 }] };
    expect(decodeCases(false, trace).map(one => one.name)).toEqual([
      'decode, 1 x 16384',
      'decode, 8 x 16384',
      'decode, 16 x 8192',
      'decode, 64 x 4096',
      'decode, 32 x 16384',
      'decode, 64 of unequal lengths (x)',
    ]);
  });

  it('turn microseconds into GB/s and TFLOP/s', () => {
    expect(speedOf(decodeCase('', [1000]), 1)).toBeCloseTo((1000 * 4096) / 1e3);
    const prefill = prefillCase(16_384, 0);
    expect(speedOf(prefill, 1e6)).toBeCloseTo(flopsOf(prefill) / 1e12);
  });
});

describe('tables', () => {
  it('pack requests one behind the other', () => {
    expect(Array.from(packedStarts(Int32Array.of(3, 1, 4)))).toEqual([0, 3, 4]);
  });

  it('use every page once, in shuffled order, as many a request as it has', () => {
    const lengths = Int32Array.of(33, 1, 160, 16);
    const { table, entries, pageCount } = shuffledTables(lengths, 16, 5);
    expect([entries, pageCount]).toEqual([10, 3 + 1 + 10 + 1]);
    const used = Array.from(lengths).flatMap((length, request) =>
      Array.from(table.slice(request * entries, request * entries + Math.ceil(length / 16))),
    );
    expect(used.toSorted((a, b) => a - b)).toEqual(Array.from({ length: pageCount }, (_, i) => i));
    expect(used).not.toEqual(used.toSorted((a, b) => a - b));
  });

  it('shuffle so that neighbours rarely stay neighbours', () => {
    const order = shuffled(10_000, 1);
    expect(new Set(order).size).toBe(10_000);
    const neighbours = order.filter((page, index) => order[index + 1] === page + 1).length;
    expect(neighbours).toBeLessThan(10);
  });
});

it('makes rows of bf16 numbers between 1/4 and 2, of either sign', () => {
  const numbers = Float32Array.from(
    new Float32Array(Uint32Array.from(plausibleRows(5000), row => row << 16).buffer),
  );
  for (const number of numbers) {
    expect(Math.abs(number)).toBeGreaterThanOrEqual(0.25);
    expect(Math.abs(number)).toBeLessThan(2);
  }
  expect(numbers.filter(number => number < 0).length).toBeGreaterThan(2000);
});

it('takes as many layers as the memory holds, at least one', () => {
  const attention = decodeCase('', [1024, 1024]);
  const perLayer = 2048 * 4096;
  expect(layersThatFit(attention, perLayer * 32, 32)).toBe(32);
  expect(layersThatFit(attention, perLayer * 31, 32)).toBe(16);
  expect(layersThatFit(attention, 0, 32)).toBe(1);
});

describe('layouts', () => {
  /** Every address of every token is checked by the double. */
  it.each([decodeCase('decode, unequal', [1, 17, 300, 64]), prefillCase(40, 100)])(
    'have every token of $name in their memory, and give it back',
    async attention => {
      const kernels = new FakeKernels(mappedHere());
      const gpu = new Gpu(kernels);
      const before = kernels.leaked;
      const placed = [
        placePlain(gpu, attention),
        await placeSpans(gpu, session, attention, 'token-major', 2),
        await placeSpans(gpu, session, attention, 'layer-major', 1),
        ...pageSizes.map(pageTokens => placePaged(gpu, attention, pageTokens)),
      ];
      const sampled = sample(gpu, attention, placed, 8);
      expect(sampled.map(({ samples }) => samples)).toEqual(
        placed.map(() => Array.from({ length: 8 }, () => FAKE_US)),
      );
      expect(kernels.ran.filter(kind => kind === attention.kind)).toHaveLength(4 * placed.length);
      for (const one of placed) await one.free();
      expect(kernels.leaked).toBe(before);
      expect(session.stats().heldBytes).toBe(0n);
    },
  );

  it('would be caught if a token lay outside', () => {
    const kernels = new FakeKernels();
    const gpu = new Gpu(kernels);
    const short = placePlain(gpu, decodeCase('', [10]));
    expect(() => sample(gpu, decodeCase('', [11]), [short], 4)).toThrow(/token 10 of request 0/);
  });
});

it('compares each layout with the best paged one', () => {
  const attention = decodeCase('decode, x', [1000]);
  const rows = caseRows(
    attention,
    [
      { name: 'contiguous', paged: false, samples: [12, 12, 12] },
      { name: 'paged, 1', paged: true, samples: [20, 20, 20] },
      { name: 'paged, 16', paged: true, samples: [10, 10, 10] },
    ],
    819.2,
  );
  const of = (variant: string) => rows.find(row => row.variant === variant)?.median;
  expect(of('contiguous: time over that of the best paged one')).toBe(1.2);
  expect(of('paged, 16: time over that of the best paged one')).toBe(1);
  expect(of('paged, 16: speed')).toBe(409.6);
  expect(of('paged, 16: of the read bandwidth')).toBe(0.5);
});
