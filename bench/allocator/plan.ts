/** Which extents a slot takes as it grows: the client's policy, restated for preparing a magazine. */

export const PAGE_BYTES = 2 * 1024 * 1024;
const ORDER_MAX = 9;

/**
 * The sizes, in bytes, of the extents by which one slot grows to at least `targetBytes`, from
 * nothing or from so many pages.
 */
export function growthExtents(
  targetBytes: number,
  growth: 'geometric' | 'linear',
  firstPages = 0,
): number[] {
  const extents: number[] = [];
  let mapped = firstPages * PAGE_BYTES;
  while (mapped < targetBytes) {
    const next = growth === 'linear' ? PAGE_BYTES : nextExtentBytes(mapped, targetBytes - mapped);
    extents.push(next);
    mapped += next;
  }
  return extents;
}

/** The largest 2^k pages not above an eighth of what is mapped, nor past the end. */
function nextExtentBytes(mapped: number, room: number): number {
  const wanted = Math.min(mapped / 8, room);
  const order = Math.max(0, Math.min(ORDER_MAX, Math.floor(Math.log2(wanted / PAGE_BYTES))));
  return PAGE_BYTES * 2 ** order;
}

/** The same extents as counts by order, as `acquire` wants them. */
export function orderCounts(extents: readonly number[]): number[] {
  const counts = Array.from({ length: ORDER_MAX + 1 }, () => 0);
  for (const extent of extents) {
    const order = Math.log2(extent / PAGE_BYTES);
    counts[order] = (counts[order] ?? 0) + 1;
  }
  return counts;
}
