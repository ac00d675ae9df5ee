/** Where the engine's K and V lie, and who manages the memory: the two that are compared. */
import type { Session } from '../../client/typescript/index.js';
import type { Gpu } from '../attention/gpu.js';
import { tensorOf } from '../attention/layouts.js';
import type { AttentionShape, KvLayout } from '../../native/index.js';
import { BlockAllocator } from '../memory/block-allocator.js';
import {
  laneRowBytesOf,
  type MemoryManager,
  type MemoryShape,
  type RequestHandle,
} from '../memory/manager.js';
import { Spans } from '../memory/spans.js';
import { capacityOf } from './pass.js';

export interface KvSource {
  readonly name: string;
  readonly manager: MemoryManager;
  /** Tells the device where the requests of a pass lie, in its order. */
  publish(requests: readonly RequestHandle[]): void;
  /** A layer's K and V, for the requests of the pass from the `first` on. */
  layout(layer: number, first: number): KvLayout;
  close(): Promise<void>;
}

const INT32_BYTES = 4n;
const BLOCK_TOKENS = 16;

/** The token-major cache of a real session: of a request the device is told one number, its slot. */
export async function spanSource(
  gpu: Gpu,
  session: Session,
  shape: MemoryShape,
): Promise<KvSource> {
  const spans = await Spans.open(session, shape, 'geometric');
  const slots = gpu.allocate(shape.batchMax * Number(INT32_BYTES));
  return {
    name: 'contiguous on kvspan',
    manager: spans,
    publish: requests => gpu.write(slots, Int32Array.from(requests)),
    layout: (layer, first) => ({
      kind: 'contiguous',
      k: tensorOf(spans.cache.key(layer)),
      v: tensorOf(spans.cache.value(layer)),
      slots: slots + BigInt(first) * INT32_BYTES,
    }),
    async close() {
      gpu.free(slots);
      await spans.close();
    },
  };
}

/** A block pool of the same size; of a request the device is told its whole table, in each pass. */
export function pagedSource(gpu: Gpu, shape: MemoryShape, layersRun: number): KvSource {
  const blocks = new BlockAllocator(shape, BLOCK_TOKENS);
  const rowBytes = laneRowBytesOf(shape);
  const laneBytes = blocks.blockCount * BLOCK_TOKENS * rowBytes;
  // Only the layers that are computed need memory: the blocks' books are the same.
  const lanes = Array.from({ length: 2 * layersRun }, () => gpu.allocate(laneBytes));
  for (const lane of lanes) gpu.fill(lane, laneBytes);
  const entriesMax = Math.ceil(shape.maxTokens / BLOCK_TOKENS);
  const address = gpu.allocate(shape.batchMax * entriesMax * Number(INT32_BYTES));
  let entries = 1;
  const tensor = (lane: number) => ({
    address: lanes[lane] as bigint,
    pageStrideBytes: BigInt(BLOCK_TOKENS * rowBytes),
    tokenStrideBytes: BigInt(rowBytes),
    headStrideBytes: BigInt(rowBytes / shape.kvHeads),
  });
  return {
    name: 'paged, 16',
    manager: blocks,
    publish(requests) {
      const tables = requests.map(request => blocks.blocks(request));
      const longest = tables.reduce((most, table) => Math.max(most, table.length), 1);
      const tokens = capacityOf(longest * BLOCK_TOKENS, shape.maxTokens);
      entries = Math.ceil(tokens / BLOCK_TOKENS);
      gpu.write(address, tableOf(tables, entries));
    },
    layout: (layer, first) => ({
      kind: 'paged',
      k: tensor(2 * layer),
      v: tensor(2 * layer + 1),
      pageTokens: BLOCK_TOKENS,
      blockTable: address + BigInt(first * entries) * INT32_BYTES,
      blockTableEntries: entries,
    }),
    async close() {
      for (const one of [...lanes, address]) gpu.free(one);
      await blocks.close();
    },
  };
}

/** [requests, entries]; what a request does not need is block 0. */
export function tableOf(tables: readonly Int32Array[], entries: number): Int32Array {
  const values = new Int32Array(tables.length * entries);
  for (const [request, table] of tables.entries()) values.set(table, request * entries);
  return values;
}

/** Query heads are four to a KV head, as in Llama-3-8B. */
export const attentionShape = (shape: MemoryShape): AttentionShape => ({
  dtype: 'bf16',
  queryHeads: 4 * shape.kvHeads,
  kvHeads: shape.kvHeads,
  headDim: shape.headDim,
});
