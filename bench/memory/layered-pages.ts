/**
 * As vAttention maps with the driver's own page (arXiv 2405.04437): K and V of each layer have a
 * buffer of their own, contiguous per request, and every page of 2 MiB in it is mapped by itself.
 * So a request takes at least a page in each of 2 x layers buffers, and all of them grow together.
 * The books of the pages are kept for real; the pages themselves are not created.
 */
import { FreeList } from './free-list.js';
import {
  laneRowBytesOf,
  type MemoryManager,
  type MemoryShape,
  type MemoryStats,
  type RequestHandle,
  tokenBytesOf,
} from './manager.js';

export const PAGE_BYTES = 2 * 1024 * 1024;

interface LayeredRequest {
  /** Per lane (K or V of a layer), the pages in the order of its addresses. */
  readonly lanes: readonly number[][];
  tokens: number;
}

export class LayeredPages implements MemoryManager {
  readonly name = 'per-layer 2 MiB pages';
  readonly #tokenBytes: number;
  readonly #laneRowBytes: number;
  readonly #laneCount: number;
  readonly #pages: FreeList;
  readonly #requests = new Map<RequestHandle, LayeredRequest>();
  #lastHandle = 0;
  #liveTokens = 0;

  constructor(shape: Omit<MemoryShape, 'maxTokens' | 'batchMax'>) {
    this.#tokenBytes = tokenBytesOf(shape);
    this.#laneRowBytes = laneRowBytesOf(shape);
    this.#laneCount = 2 * shape.layers;
    this.#pages = new FreeList(Math.floor(shape.poolBytes / PAGE_BYTES));
  }

  admit(tokens: number): RequestHandle | null {
    if (this.#pagesOf(tokens) * this.#laneCount > this.#pages.freeCount) return null;
    this.#lastHandle += 1;
    const lanes = Array.from({ length: this.#laneCount }, (): number[] => []);
    const request = { lanes, tokens: 0 };
    this.#requests.set(this.#lastHandle, request);
    this.#extend(request, tokens);
    return this.#lastHandle;
  }

  grow(lengths: ReadonlyMap<RequestHandle, number>): readonly RequestHandle[] {
    const short: RequestHandle[] = [];
    for (const [handle, tokens] of lengths) {
      const request = this.#request(handle);
      const pages = this.#pagesOf(tokens) - (request.lanes[0] as number[]).length;
      if (pages * this.#laneCount > this.#pages.freeCount) short.push(handle);
      else this.#extend(request, tokens);
    }
    return short;
  }

  free(handle: RequestHandle): void {
    const request = this.#request(handle);
    for (const page of request.lanes.flat()) this.#pages.give(page);
    this.#liveTokens -= request.tokens;
    this.#requests.delete(handle);
  }

  stats(): MemoryStats {
    return {
      liveBytes: this.#liveTokens * this.#tokenBytes,
      usedBytes: (this.#pages.count - this.#pages.freeCount) * PAGE_BYTES,
      idleBytes: 0,
    };
  }

  async close(): Promise<void> {}

  #pagesOf(tokens: number): number {
    return Math.ceil((tokens * this.#laneRowBytes) / PAGE_BYTES);
  }

  #extend(request: LayeredRequest, tokens: number): void {
    const wanted = this.#pagesOf(tokens);
    for (const lane of request.lanes) while (lane.length < wanted) lane.push(this.#pages.take());
    this.#liveTokens += tokens - request.tokens;
    request.tokens = tokens;
  }

  #request(handle: RequestHandle): LayeredRequest {
    const request = this.#requests.get(handle);
    if (request === undefined) throw new Error(`request ${handle} is not live`);
    return request;
  }
}
