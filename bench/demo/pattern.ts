/**
 * What the demo writes: rows of K and V that depend on the request and the token only, so that they
 * can be made again to be compared, however often a request was preempted and recomputed, and
 * whatever slot it sat in.
 *
 * A row is a window into one table of random values; where the window lies is a hash of (request,
 * token). Two given rows agree with a probability of one in the table's 2^19 or more positions, so
 * a row read from another's place, a stale row or a zeroed one is seen; and a row costs one copy.
 */
import { mix, Random } from '../trace/random.js';
import { type DemoGeometry, elementBytes, tokenBytes } from './geometry.js';

/** Window positions; a power of two. */
const POSITIONS = 2 ** 19;

export class Pattern {
  readonly tokenBytes: number;
  readonly #table: Uint8Array;
  readonly #elementBytes: number;
  readonly #seed: number;

  constructor(geometry: DemoGeometry, seed: number) {
    this.tokenBytes = tokenBytes(geometry);
    this.#elementBytes = elementBytes(geometry);
    this.#seed = mix(seed ^ 0x6b767370);
    this.#table = drawTable(POSITIONS + this.tokenBytes / this.#elementBytes, geometry.dtype, seed);
  }

  /** Dense rows [layer, K/V, kvHead, dim] of `tokens` tokens from `firstToken`, into `to`. */
  fill(request: number, firstToken: number, tokens: number, to: Uint8Array): Uint8Array {
    const stream = mix(this.#seed + request);
    for (let i = 0; i < tokens; i++) {
      const from = this.#position(stream, firstToken + i);
      to.set(this.#table.subarray(from, from + this.tokenBytes), i * this.tokenBytes);
    }
    return to.subarray(0, tokens * this.tokenBytes);
  }

  /** K and V of one layer, dense [token, K/V, width], of the tokens [0, tokens). */
  layerRows(request: number, layer: number, widthBytes: number, tokens: number): Uint8Array {
    const stream = mix(this.#seed + request);
    const pair = 2 * widthBytes;
    const rows = new Uint8Array(tokens * pair);
    for (let token = 0; token < tokens; token++) {
      const from = this.#position(stream, token) + layer * pair;
      rows.set(this.#table.subarray(from, from + pair), token * pair);
    }
    return rows;
  }

  /** How many tokens of `rows` are not as `fill` makes them. */
  compare(request: number, firstToken: number, rows: Uint8Array, scratch: Uint8Array): number {
    const tokens = rows.byteLength / this.tokenBytes;
    const expected = this.fill(request, firstToken, tokens, scratch);
    if (Buffer.compare(rows, expected) === 0) return 0;
    let different = 0;
    for (let at = 0; at < rows.byteLength; at += this.tokenBytes) {
      const end = at + this.tokenBytes;
      if (Buffer.compare(rows.subarray(at, end), expected.subarray(at, end)) !== 0) different += 1;
    }
    return different;
  }

  #position(stream: number, token: number): number {
    return (mix(stream ^ Math.imul(token, 0x9e3779b1)) & (POSITIONS - 1)) * this.#elementBytes;
  }
}

/** Normal values of variance 1: finite in every type, and scores that a softmax can tell apart. */
function drawTable(elements: number, dtype: DemoGeometry['dtype'], seed: number): Uint8Array {
  const random = new Random(seed);
  const floats = Float32Array.from({ length: elements }, () => random.normal());
  const bytes = new Uint8Array(floats.buffer);
  if (dtype === 'fp32') return bytes;
  const words = new Uint32Array(floats.buffer);
  const halves = Uint16Array.from(words, word => word >>> 16);
  return new Uint8Array(halves.buffer);
}

/** A query that depends on request and token alone: queryHeads x headDim. */
export function drawQuery(geometry: DemoGeometry, request: number, token: number): Float32Array {
  const random = new Random(mix(mix(request) ^ token));
  return Float32Array.from(
    { length: geometry.queryHeads * geometry.headDim },
    () => random.uniform() * 4 - 2,
  );
}
