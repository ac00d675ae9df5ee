/**
 * Attention of the demo: for every request that has just got a token, its query over all its tokens
 * in one layer, the layers taking turns from pass to pass. Computed by the dense kernel over the
 * span where it lies; a sample is computed again in float64 from rows made anew, not from memory.
 */
import { referenceAttention, relativeError } from '../../kernels/reference/attention.js';
import type { EngineCache } from './cache.js';
import { type DemoGeometry, elementBytes, widthBytes } from './geometry.js';
import { drawQuery, type Pattern } from './pattern.js';
import { isPrefilling, lengthOf, type Running } from './scheduler.js';

/** Elements of K that one pass reads at most; what is over waits for its turn in a later pass. */
const ELEMENTS_PER_PASS = 12 * 1024 * 1024;
/** The reference is slow: elements of K that all checks together may read. */
const ELEMENTS_CHECKED_MAX = 256 * 1024 * 1024;
/** Above this the kernel is wrong: float32 over float64, for any length that fits a machine. */
export const ATTENTION_TOLERANCE = 1e-3;

export class Attention {
  /** Answers computed, of how many that were due: one a request and pass. */
  computed = 0;
  due = 0;
  checks = 0;
  maxRelativeError = 0;
  readonly #cache: EngineCache;
  readonly #geometry: DemoGeometry;
  readonly #pattern: Pattern;
  readonly #checkEvery: number;
  #turn = 0;
  #checkedElements = 0;

  /** `checkEvery`: each how many answers one is compared with the reference. */
  constructor(cache: EngineCache, geometry: DemoGeometry, pattern: Pattern, checkEvery: number) {
    this.#cache = cache;
    this.#geometry = geometry;
    this.#pattern = pattern;
    this.#checkEvery = checkEvery;
  }

  async run(running: readonly Running[], pass: number): Promise<void> {
    const ready = running.filter(request => !isPrefilling(request));
    this.due += ready.length;
    const chosen = this.#choose(ready);
    const layer = pass % this.#geometry.layers;
    await Promise.all(chosen.map(request => this.#compute(request, layer)));
  }

  /** As many as fit the pass, beginning after the last one of the pass before. */
  #choose(ready: readonly Running[]): Running[] {
    const chosen: Running[] = [];
    let elements = 0;
    for (let i = 0; i < ready.length; i++) {
      const request = ready[(this.#turn + i) % ready.length] as Running;
      elements += lengthOf(request) * this.#geometry.queryHeads * this.#geometry.headDim;
      if (chosen.length > 0 && elements > ELEMENTS_PER_PASS) break;
      chosen.push(request);
    }
    this.#turn = ready.length === 0 ? 0 : (this.#turn + chosen.length) % ready.length;
    return chosen;
  }

  async #compute(request: Running, layer: number): Promise<void> {
    const length = lengthOf(request);
    const queries = drawQuery(this.#geometry, request.index, length);
    const answer = await this.#cache.attend(layer, request.slot, queries);
    this.computed += 1;
    const elements = length * this.#geometry.queryHeads * this.#geometry.headDim;
    if (this.computed % this.#checkEvery !== 0) return;
    if (this.checks > 0 && this.#checkedElements + elements > ELEMENTS_CHECKED_MAX) return;
    this.#checkedElements += elements;
    this.checks += 1;
    const expected = this.#reference(request.index, layer, length, queries);
    this.maxRelativeError = Math.max(this.maxRelativeError, relativeError(answer, expected));
  }

  #reference(request: number, layer: number, length: number, queries: Float32Array): Float64Array {
    const geometry = this.#geometry;
    const width = widthBytes(geometry);
    return referenceAttention(this.#pattern.layerRows(request, layer, width, length), {
      dtype: geometry.dtype,
      queryHeads: geometry.queryHeads,
      kvHeads: geometry.kvHeads,
      headDim: geometry.headDim,
      length,
      tokenStrideBytes: 2 * width,
      headStrideBytes: geometry.headDim * elementBytes(geometry),
      kOffset: 0,
      vOffset: width,
      scale: 1 / Math.sqrt(geometry.headDim),
      queries,
    });
  }
}
