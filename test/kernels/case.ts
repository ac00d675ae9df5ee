/** A random attention problem in a buffer whose gaps and end are poisoned with NaN. */
import type { AttendBufferRequest } from '../../native/index.js';
import type { ReferenceRequest } from '../../kernels/reference/attention.js';
import type { Random } from '../../bench/trace/random.js';

export interface Shape {
  readonly dtype: 'bf16' | 'fp32';
  readonly kvHeads: number;
  readonly queryHeads: number;
  readonly headDim: number;
  readonly queryCount: number;
  readonly length: number;
  /** Elements between K and V, and after V, in each row. */
  readonly gapElements: number;
  /** Rows behind the last token. */
  readonly rowsBehind: number;
}

export interface Case {
  readonly data: Uint8Array;
  readonly kernel: AttendBufferRequest;
  readonly reference: ReferenceRequest;
}

export function makeCase(
  shape: Shape,
  random: Random,
  value: () => number = () => random.normal(),
): Case {
  const { dtype, kvHeads, queryHeads, headDim, queryCount, length, gapElements } = shape;
  const width = dtype === 'bf16' ? 2 : 4;
  const part = kvHeads * headDim;
  const rowElements = 2 * (part + gapElements);
  const elements = new Float32Array(rowElements * (length + shape.rowsBehind)).fill(Number.NaN);
  for (let token = 0; token < length; token++) {
    for (const from of [0, part + gapElements]) {
      for (let i = 0; i < part; i++) elements[token * rowElements + from + i] = value();
    }
  }
  const queries = Float32Array.from({ length: queryCount * queryHeads * headDim }, () =>
    random.normal(),
  );
  const vOffset = (part + gapElements) * width;
  const common = {
    dtype,
    queryHeads,
    kvHeads,
    headDim,
    length,
    kOffset: 0,
    vOffset,
    scale: 1 / Math.sqrt(headDim),
    queries,
  };
  return {
    data: dtype === 'bf16' ? toBf16(elements) : new Uint8Array(elements.buffer),
    kernel: { ...common, rowBytes: rowElements * width },
    reference: {
      ...common,
      tokenStrideBytes: rowElements * width,
      headStrideBytes: headDim * width,
    },
  };
}

/** By dropping the lower half; NaN stays NaN. */
function toBf16(values: Float32Array): Uint8Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return new Uint8Array(Uint16Array.from(words, word => word >>> 16).buffer);
}
