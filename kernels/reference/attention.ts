/**
 * Attention in float64, for checking the kernel: a softmax in two passes, its own bf16 decoding,
 * nothing shared with what it checks. Slow, and meant to be read.
 */

export interface ReferenceRequest {
  readonly dtype: 'bf16' | 'fp32';
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Tokens that the last query sees. */
  readonly length: number;
  /** Bytes from one token to the next, and from one KV head to the next. */
  readonly tokenStrideBytes: number;
  readonly headStrideBytes: number;
  /** Where K and V of token 0, head 0 begin in `data`. */
  readonly kOffset: number;
  readonly vOffset: number;
  readonly scale: number;
  /** queries x queryHeads x headDim; query i of Q sees the tokens [0, length - Q + 1 + i). */
  readonly queries: Float32Array;
}

/** The first sixteen bits of a float32: sign, eight bits of exponent, seven of mantissa. */
export function decodeBf16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 7) & 0xff;
  const mantissa = bits & 0x7f;
  if (exponent === 0xff) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * mantissa * 2 ** -133;
  return sign * (1 + mantissa / 128) * 2 ** (exponent - 127);
}

const bf16Values = Float64Array.from({ length: 0x10000 }, (_, bits) => decodeBf16(bits));

/** queries x queryHeads x headDim, in float64. */
export function referenceAttention(data: Uint8Array, request: ReferenceRequest): Float64Array {
  const { queryHeads, kvHeads, headDim, length, queries } = request;
  const queryCount = queries.length / (queryHeads * headDim);
  const out = new Float64Array(queries.length);
  for (let query = 0; query < queryCount; query++) {
    for (let head = 0; head < queryHeads; head++) {
      const at = (query * queryHeads + head) * headDim;
      const kvHead = Math.floor(head / (queryHeads / kvHeads));
      const seen = length - queryCount + 1 + query;
      const row = queries.subarray(at, at + headDim);
      out.set(attendOne(data, request, row, kvHead, seen), at);
    }
  }
  return out;
}

function attendOne(
  data: Uint8Array,
  request: ReferenceRequest,
  query: Float32Array,
  kvHead: number,
  seen: number,
): Float64Array {
  const { headDim, tokenStrideBytes, kOffset, vOffset, scale } = request;
  const element = elementReader(data, request.dtype);
  const headOffset = kvHead * request.headStrideBytes;
  const width = request.dtype === 'bf16' ? 2 : 4;
  const scores = new Float64Array(seen);
  let highest = Number.NEGATIVE_INFINITY;
  for (let token = 0; token < seen; token++) {
    const from = kOffset + token * tokenStrideBytes + headOffset;
    let score = 0;
    for (let d = 0; d < headDim; d++) score += query[d]! * element(from + d * width);
    scores[token] = score * scale;
    if (scores[token]! > highest) highest = scores[token]!;
  }
  const out = new Float64Array(headDim);
  let total = 0;
  for (let token = 0; token < seen; token++) {
    const weight = Math.exp(scores[token]! - highest);
    const from = vOffset + token * tokenStrideBytes + headOffset;
    for (let d = 0; d < headDim; d++) out[d]! += weight * element(from + d * width);
    total += weight;
  }
  return out.map(value => value / total);
}

function elementReader(data: Uint8Array, dtype: 'bf16' | 'fp32'): (at: number) => number {
  if (dtype === 'bf16') return at => bf16Values[data[at]! | (data[at + 1]! << 8)]!;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return at => view.getFloat32(at, true);
}

/**
 * The largest |actual - expected| over the largest |expected|, of whole answers: attention averages
 * values of both signs, so an element near zero is no measure by itself. NaN anywhere is Infinity.
 */
export function relativeError(actual: Float32Array, expected: Float64Array): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    const off = Math.abs(actual[i]! - expected[i]!);
    if (!(off <= difference)) difference = Number.isNaN(off) ? Number.POSITIVE_INFINITY : off;
    size = Math.max(size, Math.abs(expected[i]!));
  }
  return difference === 0 ? 0 : difference / size;
}
