/** As engines did before paging: every request gets a slot of the longest length at its beginning. */
import { FreeList } from './free-list.js';
import {
  type MemoryManager,
  type MemoryShape,
  type MemoryStats,
  type RequestHandle,
  tokenBytesOf,
} from './manager.js';

export class Preallocated implements MemoryManager {
  readonly name = 'preallocated maximum length';
  readonly #tokenBytes: number;
  readonly #maxTokens: number;
  readonly #slots: FreeList;
  readonly #tokens = new Map<RequestHandle, number>();
  #liveTokens = 0;

  constructor(shape: MemoryShape) {
    this.#tokenBytes = tokenBytesOf(shape);
    this.#maxTokens = shape.maxTokens;
    this.#slots = new FreeList(Math.floor(shape.poolBytes / (shape.maxTokens * this.#tokenBytes)));
  }

  admit(tokens: number): RequestHandle | null {
    if (tokens > this.#maxTokens) return null;
    const slot = this.#slots.take();
    if (slot < 0) return null;
    this.#tokens.set(slot, tokens);
    this.#liveTokens += tokens;
    return slot;
  }

  grow(lengths: ReadonlyMap<RequestHandle, number>): readonly RequestHandle[] {
    const short: RequestHandle[] = [];
    for (const [slot, tokens] of lengths) {
      if (tokens > this.#maxTokens) short.push(slot);
      else this.#setLength(slot, tokens);
    }
    return short;
  }

  free(slot: RequestHandle): void {
    this.#setLength(slot, 0);
    this.#tokens.delete(slot);
    this.#slots.give(slot);
  }

  stats(): MemoryStats {
    return {
      liveBytes: this.#liveTokens * this.#tokenBytes,
      usedBytes: this.#tokens.size * this.#maxTokens * this.#tokenBytes,
      idleBytes: 0,
    };
  }

  async close(): Promise<void> {}

  #setLength(slot: RequestHandle, tokens: number): void {
    const before = this.#tokens.get(slot);
    if (before === undefined) throw new Error(`slot ${slot} is not live`);
    this.#liveTokens += tokens - before;
    this.#tokens.set(slot, tokens);
  }
}
