/**
 * As vAttention maps with the driver's own page (arXiv 2405.04437), by the raw calls of the device:
 * a buffer of addresses for K and one for V of each layer, every request's part of it contiguous,
 * every page created, mapped and given access by itself. All lanes of a request grow together.
 */
import type { RawDevice } from '../../native/index.js';
import { PAGE_BYTES } from './workload.js';

const PAGE = BigInt(PAGE_BYTES);

/** Where pages come from: made when they are wanted, or beforehand. */
export interface PageSource {
  take(): bigint;
  give(handle: bigint): void;
}

/** A driver call for each. */
export const freshPages = (device: RawDevice): PageSource => ({
  take: () => device.create(PAGE).handle,
  give: handle => {
    device.release(handle);
  },
});

/** Created beforehand and kept: taking one is no driver call. */
export class HeldPages implements PageSource {
  readonly #device: RawDevice;
  readonly #handles: bigint[];

  constructor(device: RawDevice, count: number) {
    this.#device = device;
    this.#handles = Array.from({ length: count }, () => device.create(PAGE).handle);
  }

  take(): bigint {
    const handle = this.#handles.pop();
    if (handle === undefined) throw new Error('more pages were wanted than were created');
    return handle;
  }

  give(handle: bigint): void {
    this.#handles.push(handle);
  }

  close(): void {
    for (const handle of this.#handles.splice(0)) this.#device.release(handle);
  }
}

export class LayeredBuffers {
  readonly #device: RawDevice;
  readonly #pages: PageSource;
  readonly #lanes: readonly bigint[];
  readonly #slotBytes: bigint;
  readonly #slots: number;
  /** Per slot, the pages of each lane in the order of their addresses. */
  readonly #mapped: bigint[][][];

  constructor(
    device: RawDevice,
    pages: PageSource,
    size: { readonly lanes: number; readonly slots: number; readonly pagesPerSlot: number },
  ) {
    this.#device = device;
    this.#pages = pages;
    this.#slots = size.slots;
    this.#slotBytes = PAGE * BigInt(size.pagesPerSlot);
    this.#lanes = Array.from({ length: size.lanes }, () => device.reserve(this.#bytes).address);
    this.#mapped = Array.from({ length: size.slots }, () => this.#lanes.map(() => []));
  }

  get #bytes(): bigint {
    return this.#slotBytes * BigInt(this.#slots);
  }

  pagesOf(slot: number): number {
    return this.#mapped[slot]?.[0]?.length ?? 0;
  }

  /** Each lane of the slot to so many pages. */
  grow(slot: number, pages: number): void {
    const mapped = this.#mapped[slot] as bigint[][];
    for (const [lane, handles] of mapped.entries()) {
      while (handles.length < pages) {
        const handle = this.#pages.take();
        const at = this.#address(slot, lane, handles.length);
        this.#device.map(at, handle, PAGE);
        this.#device.access(at, PAGE);
        handles.push(handle);
      }
    }
  }

  /** Back to so many pages; 0: the request has ended. */
  shrink(slot: number, pages: number): void {
    const mapped = this.#mapped[slot] as bigint[][];
    for (const [lane, handles] of mapped.entries()) {
      while (handles.length > pages) {
        const handle = handles.pop() as bigint;
        this.#device.unmap(this.#address(slot, lane, handles.length), PAGE);
        this.#pages.give(handle);
      }
    }
  }

  close(): void {
    for (let slot = 0; slot < this.#slots; slot += 1) this.shrink(slot, 0);
    for (const base of this.#lanes) this.#device.unreserve(base, this.#bytes);
  }

  #address(slot: number, lane: number, page: number): bigint {
    return (this.#lanes[lane] as bigint) + this.#slotBytes * BigInt(slot) + PAGE * BigInt(page);
  }
}
