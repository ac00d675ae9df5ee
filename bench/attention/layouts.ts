/** The ways in which the K and V of a case lie in memory: the only thing that the variants differ in. */
import type { Cache, Session } from '../../client/typescript/index.js';
import type { StridedView } from '../../client/typescript/index.js';
import type { ContiguousTensor, KvLayout } from '../../native/index.js';
import { type AttentionCase, headBytes, kvRowBytes, shape, sum } from './cases.js';
import type { Gpu } from './gpu.js';
import { packedStarts, shuffledTables } from './tables.js';

/** A case's K and V in memory, filled. */
export interface Placed {
  readonly name: string;
  readonly paged: boolean;
  readonly kv: KvLayout;
  free(): Promise<void>;
}

export type PageTokens = 1 | 16 | 64 | 256;
export const pageSizes: readonly PageTokens[] = [1, 16, 64, 256];

const SHUFFLE_SEED = 11;
const ROW = BigInt(kvRowBytes);

/** On plain memory of the driver (cudaMalloc): dense rows, the requests one behind the other. */
export function placePlain(gpu: Gpu, { lengths }: AttentionCase): Placed {
  const bytes = kvRowBytes * sum(lengths);
  const [k, v] = [gpu.allocate(bytes), gpu.allocate(bytes)];
  gpu.fill(k, bytes);
  gpu.fill(v, bytes);
  // A "slot" is a token's row here, so that requests of any length lie packed.
  const slots = gpu.upload(packedStarts(lengths));
  return {
    name: 'contiguous on cudaMalloc',
    paged: false,
    kv: { kind: 'contiguous', k: packedTensor(k), v: packedTensor(v), slots },
    free: async () => [k, v, slots].forEach(address => gpu.free(address)),
  };
}

const packedTensor = (address: bigint): ContiguousTensor => ({
  address,
  slotStrideBytes: ROW,
  tokenStrideBytes: ROW,
  headStrideBytes: BigInt(headBytes),
});

/** K and V in page pools of their own, as an engine's layer has them, under a shuffled table. */
export function placePaged(gpu: Gpu, { lengths }: AttentionCase, pageTokens: PageTokens): Placed {
  const { table, entries, pageCount } = shuffledTables(lengths, pageTokens, SHUFFLE_SEED);
  const pageBytes = pageTokens * kvRowBytes;
  const [k, v] = [gpu.allocate(pageCount * pageBytes), gpu.allocate(pageCount * pageBytes)];
  gpu.fill(k, pageCount * pageBytes);
  gpu.fill(v, pageCount * pageBytes);
  const blockTable = gpu.upload(table);
  const tensor = (address: bigint) => ({
    address,
    pageStrideBytes: BigInt(pageBytes),
    tokenStrideBytes: ROW,
    headStrideBytes: BigInt(headBytes),
  });
  return {
    name: `paged, ${pageTokens}`,
    paged: true,
    kv: {
      kind: 'paged',
      k: tensor(k),
      v: tensor(v),
      pageTokens,
      blockTable,
      blockTableEntries: entries,
    },
    free: async () => [k, v, blockTable].forEach(address => gpu.free(address)),
  };
}

/** On kvspan's own memory: a cache of a real session, each request allocated to its length. */
export async function placeSpans(
  gpu: Gpu,
  session: Session,
  { lengths }: AttentionCase,
  layout: 'token-major' | 'layer-major',
  layers: number,
): Promise<Placed> {
  const cache = await session.createCache({
    layout,
    layers,
    kvHeads: shape.kvHeads,
    headDim: shape.headDim,
    dtype: 'bf16',
    slots: lengths.length,
    maxTokens: Math.max(...lengths),
    name: 'bench-attention',
  });
  const slots = new Int32Array(lengths.length);
  for (const [request, tokens] of lengths.entries())
    slots[request] = await cache.allocate(tokens, { waitMs: 60_000 });
  // Of a model's layers one in the middle is read.
  const layer = layers >> 1;
  fillSlots(gpu, cache, slots, lengths, layer);
  const slotsAddress = gpu.upload(slots);
  return {
    name: `contiguous on kvspan, ${layout} (${layers} ${layers === 1 ? 'layer' : 'layers'})`,
    paged: false,
    kv: {
      kind: 'contiguous',
      k: tensorOf(cache.key(layer)),
      v: tensorOf(cache.value(layer)),
      slots: slotsAddress,
    },
    async free() {
      gpu.free(slotsAddress);
      await cache.close();
      await session.giveBack(2n ** 62n);
    },
  };
}

/** Of a cache's layer, what a kernel wants to know. */
export function tensorOf(view: StridedView): ContiguousTensor {
  const [slot, token, head] = view.strideBytes;
  return {
    address: view.address,
    slotStrideBytes: BigInt(slot),
    tokenStrideBytes: BigInt(token),
    headStrideBytes: BigInt(head),
  };
}

/** Every byte from a slot's first K (or V) of the layer to its last, other layers' between them too. */
function fillSlots(
  gpu: Gpu,
  cache: Cache,
  slots: Int32Array,
  lengths: Int32Array,
  layer: number,
): void {
  for (const view of [cache.key(layer), cache.value(layer)]) {
    const [slotStride, tokenStride] = view.strideBytes;
    for (const [request, slot] of slots.entries()) {
      const tokens = lengths[request] as number;
      const at = view.address + BigInt(slot) * BigInt(slotStride);
      gpu.fill(at, (tokens - 1) * tokenStride + kvRowBytes);
    }
  }
}

/** As many layers as the memory holds, up to those of the model: a token-major row has all of them. */
export function layersThatFit({ lengths }: AttentionCase, freeBytes: number, most: number): number {
  const perLayer = 2 * kvRowBytes * sum(lengths);
  let layers = most;
  while (layers > 1 && layers * perLayer > freeBytes) layers >>= 1;
  return layers;
}
