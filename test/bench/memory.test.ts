/** The memory managers behind one interface, kvspan's real one among them. */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DemoDaemon, startDaemon } from '../../bench/demo/daemon.js';
import { BlockAllocator } from '../../bench/memory/block-allocator.js';
import { FreeList } from '../../bench/memory/free-list.js';
import { LayeredPages } from '../../bench/memory/layered-pages.js';
import type { MemoryManager, MemoryShape, RequestHandle } from '../../bench/memory/manager.js';
import { Preallocated } from '../../bench/memory/preallocated.js';
import { replay } from '../../bench/memory/replay.js';
import { Spans } from '../../bench/memory/spans.js';
import { Random } from '../../bench/trace/random.js';
import { connect } from '../../client/typescript/index.js';

const MIB = 1024 ** 2;
/** 4 KiB a token: 512 tokens a page, 4,096 in a page of one lane. */
const shape: MemoryShape = {
  poolBytes: 96 * MIB,
  layers: 4,
  kvHeads: 2,
  headDim: 128,
  dtype: 'bf16',
  maxTokens: 4096,
  batchMax: 16,
};
const TOKEN_BYTES = 4096;

let daemon: DemoDaemon;

beforeAll(async () => {
  daemon = await startDaemon({ backend: 'host', serveArguments: ['--pool-bytes', '96MiB'] });
});

afterAll(() => daemon.stop());

const openSpans = async (growth: 'geometric' | 'linear'): Promise<Spans> => {
  const { socketDirectory } = daemon;
  return Spans.open(await connect({ socketDirectory, name: 'memory-test' }), shape, growth);
};

const openers: [string, () => MemoryManager | Promise<MemoryManager>][] = [
  ['preallocated', () => new Preallocated(shape)],
  ['blocks', () => new BlockAllocator(shape, 16)],
  ['per-layer pages', () => new LayeredPages(shape)],
  ['kvspan geometric', () => openSpans('geometric')],
  ['kvspan linear', () => openSpans('linear')],
];

/** A unit that nobody owns, or -1 if all are owned. */
function takesRight(list: FreeList, owned: Set<number>): boolean {
  const full = owned.size === list.count;
  const unit = list.take();
  const right = full ? unit === -1 : unit >= 0 && unit < list.count && !owned.has(unit);
  if (!full) owned.add(unit);
  return right;
}

/** Taken back if it is owned, else refused. */
function givesRight(list: FreeList, owned: Set<number>, unit: number): boolean {
  const isOwned = owned.delete(unit);
  try {
    list.give(unit);
    return isOwned;
  } catch {
    return !isOwned;
  }
}

it('a free list gives each unit to one owner, and takes back only what is taken', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 20 }), fc.array(fc.nat(30)), (count, script) => {
      const list = new FreeList(count);
      const owned = new Set<number>();
      for (const word of script) {
        const right = word % 2 === 0 ? takesRight(list, owned) : givesRight(list, owned, word);
        expect(right).toBe(true);
        expect(list.freeCount).toBe(count - owned.size);
      }
    }),
  );
});

describe('the block allocator', () => {
  it('never gives a block to two requests, and each has as many as its tokens need', () => {
    const step = fc.record({ act: fc.constantFrom('admit', 'grow', 'free'), n: fc.nat(700) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), script => {
        const allocator = new BlockAllocator({ ...shape, poolBytes: 100 * 16 * TOKEN_BYTES }, 16);
        const live = new Map<RequestHandle, number>();
        for (const { act, n } of script) {
          const request = [...live.keys()][n % Math.max(1, live.size)];
          if (act === 'admit') {
            const handle = allocator.admit(n + 1);
            if (handle !== null) live.set(handle, n + 1);
          } else if (request !== undefined && act === 'grow') {
            const tokens = (live.get(request) as number) + 1 + (n % 40);
            if (allocator.grow(new Map([[request, tokens]])).length === 0)
              live.set(request, tokens);
          } else if (request !== undefined) {
            allocator.free(request);
            live.delete(request);
          }
          const all = [...live].flatMap(([handle, tokens]) => {
            const blocks = Array.from(allocator.blocks(handle));
            expect(blocks).toHaveLength(Math.ceil(tokens / 16));
            return blocks;
          });
          expect(new Set(all).size).toBe(all.length);
          expect(allocator.stats().usedBytes).toBe(all.length * 16 * TOKEN_BYTES);
        }
      }),
    );
  });

  it('names who could not grow, and lets the others grow', () => {
    const allocator = new BlockAllocator({ ...shape, poolBytes: 3 * 16 * TOKEN_BYTES }, 16);
    const [a, b] = [allocator.admit(16) as number, allocator.admit(16) as number];
    const short = allocator.grow(
      new Map([
        [a, 17],
        [b, 17],
      ]),
    );
    expect(short).toEqual([b]);
    expect(allocator.blocks(b)).toHaveLength(1);
    expect(allocator.admit(1)).toBeNull();
  });
});

it('per-layer pages come in every lane at once: 8 pages for a first token here', () => {
  const pages = new LayeredPages(shape);
  const request = pages.admit(1) as number;
  expect(pages.stats().usedBytes).toBe(8 * 2 * MIB);
  expect(pages.grow(new Map([[request, 4096]]))).toEqual([]);
  expect(pages.stats().usedBytes).toBe(8 * 2 * MIB);
  expect(pages.grow(new Map([[request, 4097]]))).toEqual([]);
  expect(pages.stats().usedBytes).toBe(16 * 2 * MIB);
  pages.free(request);
  expect(pages.stats()).toEqual({ liveBytes: 0, usedBytes: 0, idleBytes: 0 });
});

it('all managers agree on what is live, and none has less than that', {
  timeout: 240_000,
}, async () => {
  const managers: MemoryManager[] = [];
  for (const [, open] of openers) managers.push(await open());
  const random = new Random(9);
  /** Per request: its handle with each manager, and its tokens. */
  const live: { handles: RequestHandle[]; tokens: number }[] = [];
  for (let i = 0; i < 120; i += 1) {
    // Few enough that everybody can hold them: per-layer pages take 16 MiB each.
    if (live.length < 5 && random.uniform() < 0.5) {
      const tokens = random.integer(1, 1500);
      const handles: RequestHandle[] = [];
      for (const manager of managers) handles.push((await manager.admit(tokens)) ?? -1);
      live.push({ handles, tokens });
    } else if (live.length > 0 && random.uniform() < 0.3) {
      const [ended] = live.splice(random.integer(0, live.length - 1), 1);
      for (const [index, manager] of managers.entries())
        manager.free(ended?.handles[index] as RequestHandle);
    }
    expect(live.flatMap(({ handles }) => handles)).not.toContain(-1);
    for (const request of live) request.tokens += random.integer(0, 3);
    for (const [index, manager] of managers.entries()) {
      const lengths = live.map(
        ({ handles, tokens }) => [handles[index] as number, tokens] as const,
      );
      expect(await manager.grow(new Map(lengths))).toEqual([]);
    }
    const expected = live.reduce((sum, { tokens }) => sum + tokens, 0) * TOKEN_BYTES;
    for (const manager of managers) {
      const stats = manager.stats();
      expect(stats.liveBytes, manager.name).toBe(expected);
      expect(stats.usedBytes, manager.name).toBeGreaterThanOrEqual(expected);
      expect(stats.idleBytes, manager.name).toBeGreaterThanOrEqual(0);
    }
  }
  for (const manager of managers) await manager.close();
});

describe('a replay', () => {
  const requests = Array.from({ length: 24 }, (_, index) => ({
    arrivalMs: index,
    promptTokens: 700 + 97 * index,
    answerTokens: 20 * (index % 5),
  }));
  const total = 24;

  it.each(openers)('over %s ends every request and gives everything back', async (_, open) => {
    const manager = await open();
    const seen: number[] = [];
    const result = await replay(requests, manager, shape.batchMax, share => seen.push(share));
    expect(result).toMatchObject({ completed: total, failed: 0 });
    expect(result.liveRequestsMax).toBeGreaterThan(1);
    expect(result.liveRequestsMax).toBeLessThanOrEqual(shape.batchMax);
    expect(result.peakUsedBytes).toBeLessThanOrEqual(shape.poolBytes);
    expect(result.liveAtPeakBytes).toBeLessThanOrEqual(result.peakUsedBytes);
    expect(result.wastedShareMean).toBeGreaterThanOrEqual(0);
    expect(result.wastedShareMean).toBeLessThan(1);
    expect(seen.at(-1)).toBe(1);
    expect(manager.stats()).toMatchObject({ liveBytes: 0, usedBytes: 0 });
    await manager.close();
  });

  it('preempts the youngest when memory is short, and ends everybody all the same', async () => {
    // 40 blocks: two requests of 19 blocks fit, and both want to grow to 25.
    const manager = new BlockAllocator({ ...shape, poolBytes: 40 * 16 * TOKEN_BYTES }, 16);
    const pair = [0, 1].map(arrivalMs => ({ arrivalMs, promptTokens: 300, answerTokens: 100 }));
    const result = await replay(pair, manager, 8);
    expect(result).toMatchObject({ completed: 2, failed: 0, preempted: 1, liveRequestsMax: 2 });
  });

  it('fails what does not fit even alone', async () => {
    const manager = new BlockAllocator({ ...shape, poolBytes: 10 * 16 * TOKEN_BYTES }, 16);
    const trio = [100, 5000, 100].map(promptTokens => ({
      arrivalMs: 0,
      promptTokens,
      answerTokens: 3,
    }));
    expect(await replay(trio, manager, 8)).toMatchObject({ completed: 2, failed: 1 });
  });
});
