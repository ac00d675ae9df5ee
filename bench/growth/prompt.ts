/** Time to make memory ready for one prompt, for each way of having memory. */
import { withRawDevice } from '../allocator/floor.js';
import type { Tick } from '../harness/progress.js';
import { BlockAllocator } from '../memory/block-allocator.js';
import type { Row } from '../report/results.js';
import { row } from '../report/statistics.js';
import { freshPages, HeldPages, LayeredBuffers, type PageSource } from './layered-buffers.js';
import { acquireAll, giveAllBack } from './magazine.js';
import type { Bed } from './ways.js';
import { fewestExtents, PAGE_BYTES } from './workload.js';

const US_PER_MS = 1000;
const BLOCK_TOKENS = 16;
/** A grant of tens of thousands of pages takes a while, and is waited for. */
const PATIENCE = { waitMs: 60_000 } as const;

type Way = (bed: Bed, tokens: number) => number[] | Promise<number[]>;

/** Microseconds of each repeat, the first (which warms) left out. */
const ways: Readonly<Record<string, Way>> = {
  'kvspan geometric, from the magazine': (bed, tokens) => spans(bed, tokens, 'geometric', true),
  'kvspan geometric, cold': (bed, tokens) => spans(bed, tokens, 'geometric', false),
  'kvspan linear, from the magazine': (bed, tokens) => spans(bed, tokens, 'linear', true),
  'kvspan linear, cold': (bed, tokens) => spans(bed, tokens, 'linear', false),
  'per-layer 2 MiB pages, synchronous': (bed, tokens) => layered(bed, tokens, false),
  'per-layer 2 MiB pages, handles created before': (bed, tokens) => layered(bed, tokens, true),
  'block table, blocks of 16': (bed, tokens) => blocks(bed, tokens),
};

export async function prompts(bed: Bed, tick: Tick): Promise<Row[]> {
  const rows: Row[] = [];
  const { promptTokens, tokenBytes } = bed.workload;
  const total = promptTokens.length * Object.keys(ways).length;
  for (const tokens of promptTokens) {
    const size = `${(tokens * tokenBytes) / 2 ** 20} MiB`;
    for (const [variant, way] of Object.entries(ways)) {
      const samples = await way(bed, tokens);
      rows.push(row(`prompt of ${tokens} tokens (${size})`, variant, 'us', samples));
      tick(rows.length / total);
    }
  }
  return rows;
}

/** `warm`: the extents are in the magazine; else the daemon creates them. */
async function spans(
  { session, workload }: Bed,
  tokens: number,
  growth: 'geometric' | 'linear',
  warm: boolean,
): Promise<number[]> {
  const bytes = tokens * workload.tokenBytes;
  const pages = Math.ceil(bytes / PAGE_BYTES);
  if (warm) await acquireAll(session, growth === 'linear' ? [pages] : fewestExtents(bytes));
  const samples: number[] = [];
  for (let repeat = 0; repeat <= workload.repeats; repeat += 1) {
    const cache = await session.createCache({
      ...workload.geometry,
      slots: 1,
      maxTokens: tokens,
      lookaheadTokens: 0,
      growth,
      name: 'bench-prompt',
    });
    const start = performance.now();
    await cache.allocate(tokens, PATIENCE);
    samples.push((performance.now() - start) * US_PER_MS);
    // Its extents go to the magazine, where the next repeat finds them.
    await cache.close();
    if (!warm) await giveAllBack(session);
  }
  await giveAllBack(session);
  return samples.slice(1);
}

function layered({ device, workload }: Bed, tokens: number, before: boolean): number[] {
  const { lanes, laneTokens, repeats } = workload;
  const pagesPerSlot = Math.ceil(tokens / laneTokens);
  return withRawDevice(device, raw => {
    const held = before ? new HeldPages(raw, lanes * pagesPerSlot) : null;
    const pages: PageSource = held ?? freshPages(raw);
    const buffers = new LayeredBuffers(raw, pages, { lanes, slots: 1, pagesPerSlot });
    const samples: number[] = [];
    for (let repeat = 0; repeat <= repeats; repeat += 1) {
      const start = performance.now();
      buffers.grow(0, pagesPerSlot);
      samples.push((performance.now() - start) * US_PER_MS);
      buffers.shrink(0, 0);
    }
    buffers.close();
    held?.close();
    return samples.slice(1);
  });
}

/** The pool lies there already; what is paid is the table. Its copy to the device is not counted. */
function blocks({ workload }: Bed, tokens: number): number[] {
  const { geometry, tokenBytes, repeats } = workload;
  const poolBytes = (tokens + BLOCK_TOKENS) * tokenBytes;
  const allocator = new BlockAllocator({ ...geometry, poolBytes }, BLOCK_TOKENS);
  const samples: number[] = [];
  for (let repeat = 0; repeat <= repeats; repeat += 1) {
    const start = performance.now();
    const request = allocator.admit(tokens) as number;
    samples.push((performance.now() - start) * US_PER_MS);
    allocator.free(request);
  }
  return samples.slice(1);
}
