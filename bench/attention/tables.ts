/** Where each request's tokens lie: packed one behind the other, or in shuffled pages. */
import { Random } from '../trace/random.js';

/** The first token of each request in a buffer that has them one behind the other. */
export function packedStarts(lengths: Int32Array): Int32Array {
  const starts = new Int32Array(lengths.length);
  for (let i = 1; i < lengths.length; i += 1)
    starts[i] = (starts[i - 1] as number) + (lengths[i - 1] as number);
  return starts;
}

export interface BlockTables {
  /** [requests, entries]; what a request does not need is page 0. */
  readonly table: Int32Array;
  /** Of the longest request. */
  readonly entries: number;
  readonly pageCount: number;
}

/**
 * Every request's pages, taken in shuffled order from a pool that has just enough of them: as the
 * free list of an engine looks that has run for a while.
 */
export function shuffledTables(lengths: Int32Array, pageTokens: number, seed: number): BlockTables {
  const pages = Array.from(lengths, length => Math.ceil(length / pageTokens));
  const entries = Math.max(...pages);
  const pageCount = pages.reduce((total, count) => total + count, 0);
  const order = shuffled(pageCount, seed);
  const table = new Int32Array(lengths.length * entries);
  let next = 0;
  for (const [request, count] of pages.entries()) {
    table.set(order.subarray(next, next + count), request * entries);
    next += count;
  }
  return { table, entries, pageCount };
}

/** 0 .. count - 1 in random order (Fisher and Yates). */
export function shuffled(count: number, seed: number): Int32Array {
  const random = new Random(seed);
  const order = Int32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last -= 1) {
    const other = random.integer(0, last);
    const kept = order[last] as number;
    order[last] = order[other] as number;
    order[other] = kept;
  }
  return order;
}
