/**
 * A paged cache's allocator: the pool is cut into blocks of so many tokens (all layers of a token
 * together count as one unit, as engines do that give a block the same index in every layer), a
 * request has a table of them, and each new block is one entry more in it.
 */
import { FreeList } from './free-list.js';
import {
  type MemoryManager,
  type MemoryShape,
  type MemoryStats,
  type RequestHandle,
  tokenBytesOf,
} from './manager.js';

const TABLE_BLOCKS_FIRST = 64;

/** The blocks of one request, in the order of its tokens. */
interface BlockTable {
  blocks: Int32Array;
  count: number;
  tokens: number;
}

export class BlockAllocator implements MemoryManager {
  readonly name: string;
  readonly blockTokens: number;
  readonly #tokenBytes: number;
  readonly #free: FreeList;
  readonly #tables = new Map<RequestHandle, BlockTable>();
  #lastHandle = 0;
  #liveTokens = 0;

  constructor(shape: Omit<MemoryShape, 'maxTokens' | 'batchMax'>, blockTokens: number) {
    this.name = `blocks of ${blockTokens} tokens`;
    this.blockTokens = blockTokens;
    this.#tokenBytes = tokenBytesOf(shape);
    this.#free = new FreeList(Math.floor(shape.poolBytes / (blockTokens * this.#tokenBytes)));
  }

  get blockCount(): number {
    return this.#free.count;
  }

  admit(tokens: number): RequestHandle | null {
    if (this.#blocksOf(tokens) > this.#free.freeCount) return null;
    this.#lastHandle += 1;
    const table = { blocks: new Int32Array(TABLE_BLOCKS_FIRST), count: 0, tokens: 0 };
    this.#tables.set(this.#lastHandle, table);
    this.#extend(table, tokens);
    return this.#lastHandle;
  }

  grow(lengths: ReadonlyMap<RequestHandle, number>): readonly RequestHandle[] {
    const short: RequestHandle[] = [];
    for (const [request, tokens] of lengths) {
      const table = this.#table(request);
      if (this.#blocksOf(tokens) - table.count > this.#free.freeCount) short.push(request);
      else this.#extend(table, tokens);
    }
    return short;
  }

  free(request: RequestHandle): void {
    const table = this.#table(request);
    for (let i = 0; i < table.count; i += 1) this.#free.give(table.blocks[i] as number);
    this.#liveTokens -= table.tokens;
    this.#tables.delete(request);
  }

  /** A view of the request's table: block indices in the order of its tokens. */
  blocks(request: RequestHandle): Int32Array {
    const table = this.#table(request);
    return table.blocks.subarray(0, table.count);
  }

  stats(): MemoryStats {
    const used = this.#free.count - this.#free.freeCount;
    return {
      liveBytes: this.#liveTokens * this.#tokenBytes,
      usedBytes: used * this.blockTokens * this.#tokenBytes,
      idleBytes: 0,
    };
  }

  async close(): Promise<void> {}

  #blocksOf(tokens: number): number {
    return Math.ceil(tokens / this.blockTokens);
  }

  #extend(table: BlockTable, tokens: number): void {
    const wanted = this.#blocksOf(tokens);
    if (wanted > table.blocks.length) {
      const longer = new Int32Array(Math.max(wanted, 2 * table.blocks.length));
      longer.set(table.blocks);
      table.blocks = longer;
    }
    for (; table.count < wanted; table.count += 1) table.blocks[table.count] = this.#free.take();
    this.#liveTokens += tokens - table.tokens;
    table.tokens = tokens;
  }

  #table(request: RequestHandle): BlockTable {
    const table = this.#tables.get(request);
    if (table === undefined) throw new Error(`request ${request} is not live`);
    return table;
  }
}
