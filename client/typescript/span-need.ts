/** How much memory a slot's length takes, and what to ask for next: the native core's own arithmetic. */
import type { CachePlan } from './geometry.js';

/** As the native core: a slot's next extent is at most this part of what it has mapped. */
const GROWTH_DIVISOR = 8n;
const ORDER_MAX = 9;

export class SpanNeed {
  constructor(
    private readonly plan: CachePlan,
    private readonly pageBytes: bigint,
    private readonly overreadTokens: number,
    private readonly growth: 'geometric' | 'linear',
  ) {}

  /** Of all lanes, for a slot of this length. */
  wholeBytes(tokens: number): bigint {
    return this.#lanes * this.#laneBytes(tokens);
  }

  /** What a slot of this length still lacks, of whose tokens so many are mapped. */
  gapBytes(tokens: number, mappedTokens: number): bigint {
    return this.#lanes * this.#laneGap(tokens, mappedTokens);
  }

  /** Of all lanes: at least so much is mapped, in whole pages. */
  mappedBytes(mappedTokens: number): bigint {
    return this.#lanes * this.#laneMapped(mappedTokens);
  }

  /**
   * The extents, by order, for a slot to grow to `tokens`; some more, as growth is geometric, but
   * never past `atMostTokens`. All zeros: nothing is missing.
   */
  extentsFor(tokens: number, atMostTokens: number, mappedTokens: number): number[] {
    const gap = this.#laneGap(tokens, mappedTokens);
    const room = this.#laneGap(atMostTokens, mappedTokens);
    const mapped = this.#laneMapped(mappedTokens);
    const ahead = this.growth === 'geometric' ? mapped / GROWTH_DIVISOR : 0n;
    const wanted = gap >= ahead ? gap : powerOfTwo(ahead / this.pageBytes) * this.pageBytes;
    return this.#fewest((wanted < room ? wanted : room) / this.pageBytes);
  }

  get #lanes(): bigint {
    return BigInt(this.plan.laneCount);
  }

  #laneBytes(tokens: number): bigint {
    const bytes = this.#pages(BigInt(tokens + this.overreadTokens) * this.plan.rowBytes);
    const { slotStrideBytes } = this.plan;
    return bytes < slotStrideBytes ? bytes : slotStrideBytes;
  }

  #laneMapped(mappedTokens: number): bigint {
    return this.#pages(BigInt(mappedTokens) * this.plan.rowBytes);
  }

  #laneGap(tokens: number, mappedTokens: number): bigint {
    const gap = this.#laneBytes(tokens) - this.#laneMapped(mappedTokens);
    return gap > 0n ? gap : 0n;
  }

  #pages(bytes: bigint): bigint {
    return ((bytes + this.pageBytes - 1n) / this.pageBytes) * this.pageBytes;
  }

  /** The fewest extents that make exactly so many pages, in each lane. */
  #fewest(pages: bigint): number[] {
    const counts = Array.from({ length: ORDER_MAX + 1 }, () => 0);
    let left = this.growth === 'linear' ? 0n : pages;
    if (this.growth === 'linear') counts[0] = Number(pages) * this.plan.laneCount;
    for (let order = ORDER_MAX; order >= 0; order--) {
      const size = 1n << BigInt(order);
      counts[order] = (counts[order] as number) + Number(left / size) * this.plan.laneCount;
      left %= size;
    }
    return counts;
  }
}

function powerOfTwo(pages: bigint): bigint {
  return pages < 1n ? 0n : 1n << BigInt(pages.toString(2).length - 1);
}
