import { describe, expect, it } from 'vitest';
import {
  decodeBf16,
  referenceAttention,
  relativeError,
} from '../../kernels/reference/attention.js';

function float32Of(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits * 0x10000);
  return view.getFloat32(0);
}

/** One head of one float32 element, K before V. */
const single = {
  dtype: 'fp32' as const,
  queryHeads: 1,
  kvHeads: 1,
  headDim: 1,
  tokenStrideBytes: 8,
  headStrideBytes: 4,
  kOffset: 0,
  vOffset: 4,
  scale: 1,
};

describe('the reference', () => {
  it('decodes every bf16 as the upper half of a float32', () => {
    const all = Array.from({ length: 0x10000 }, (_, bits) => bits);
    expect(all.filter(bits => !Object.is(decodeBf16(bits), float32Of(bits)))).toEqual([]);
  });

  it('gives the value itself for one token, and the mean for equal keys', () => {
    const rows = new Float32Array([1, 1, 10, 20, 1, 1, 30, 60]);
    const shape = {
      ...single,
      headDim: 2,
      tokenStrideBytes: 16,
      vOffset: 8,
      queries: new Float32Array([5, -3]),
    };
    const data = new Uint8Array(rows.buffer);
    expect([...referenceAttention(data, { ...shape, length: 1 })]).toEqual([10, 20]);
    expect([...referenceAttention(data, { ...shape, length: 2 })]).toEqual([20, 40]);
  });

  it('weighs by the softmax of the scaled scores', () => {
    const rows = new Float32Array([0, 1, 2, 0]);
    const [answer] = referenceAttention(new Uint8Array(rows.buffer), {
      ...single,
      scale: 0.5,
      queries: new Float32Array([3]),
      length: 2,
    });
    expect(answer).toBeCloseTo(1 / (1 + Math.exp(3)), 12);
  });

  it('lets each of several queries see up to its own token', () => {
    const rows = new Float32Array([0, 1, 0, 3, 0, 8]);
    const answers = referenceAttention(new Uint8Array(rows.buffer), {
      ...single,
      queries: new Float32Array([1, 1, 1]),
      length: 3,
    });
    expect([...answers]).toEqual([1, 2, 4]);
  });

  it('gives no small error to an answer that is not a number', () => {
    const nan = relativeError(new Float32Array([Number.NaN, 0]), new Float64Array([1, 1]));
    expect(nan).toBe(Number.POSITIVE_INFINITY);
    expect(relativeError(new Float32Array([1, 0.5]), new Float64Array([1, 1]))).toBe(0.5);
  });
});
