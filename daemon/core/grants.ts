import { badField } from '../../proto/errors.js';
import { orderBytes } from './extents.js';
import type { Cache } from './caches.js';
import { spanBytes } from './geometry.js';
import { integerField, LAPSE_MS_MAX, OVERREAD_TOKENS_MAX } from './limits.js';
import {
  EXTENT_ORDER_MAX,
  PAGE_BYTES,
  UINT64_MAX,
  bytes,
  type Bytes,
  type GrantId,
  type Limits,
  type OrderCounts,
} from './types.js';
import type { GrantRequest, ReserveRequest } from './views.js';

/** A valid request, with its sums. */
export interface GrantOrder {
  readonly grant: GrantId;
  /** EXTENT_ORDER_MAX + 1 entries. */
  readonly counts: OrderCounts;
  readonly askedBytes: Bytes;
  /** The least that meets it: the minimum, or all. */
  readonly neededBytes: Bytes;
  /** With this much room it is certainly met; more than it needs if it may have but few extents. */
  readonly roomBytes: Bytes;
  readonly waitMs: number;
  /** Not extents are asked for, but a promise of them. */
  readonly terms: PromiseTerms | null;
}

export interface PromiseTerms {
  readonly lapseMs: number;
}

/** Throws INVALID_ARGUMENT that names the first field out of its range. */
export function checkGrantRequest(request: GrantRequest, limits: Limits): GrantOrder {
  const { grant, minimumBytes, waitMs } = request;
  checkId('grant_id', grant);
  const counts = checkCounts(request.counts, limits.extentsPerGrantMax);
  const askedBytes = sum(counts);
  if (typeof minimumBytes !== 'bigint' || minimumBytes < 0n || minimumBytes > askedBytes) {
    throw badField('minimum_bytes', minimumBytes, `0..${askedBytes}, the bytes asked`);
  }
  integerField('wait_ms', waitMs, 0, limits.grantWaitMsMax);
  const neededBytes = minimumBytes === 0n ? askedBytes : minimumBytes;
  const terms = null;
  const order = { grant, counts, askedBytes, neededBytes, roomBytes: askedBytes, waitMs, terms };
  const cut = fit(order, neededBytes, limits.extentsPerGrantMax);
  return cut === null ? order : { ...order, roomBytes: neededBytes };
}

/** As an order for nothing but room: what a promise takes of the pool is no extents yet. */
export function checkReserveRequest(
  request: ReserveRequest,
  { geometry, plan }: Cache,
  limits: Limits,
): GrantOrder {
  const { promise, tokens, overreadTokens, mappedBytes, waitMs, lapseMs } = request;
  checkId('promise_id', promise);
  integerField('tokens_count', tokens, 1, geometry.maxTokens);
  integerField('overread_tokens_count', overreadTokens, 0, OVERREAD_TOKENS_MAX);
  const wholeBytes = spanBytes(plan, tokens + overreadTokens);
  if (
    typeof mappedBytes !== 'bigint' ||
    mappedBytes < 0n ||
    mappedBytes >= wholeBytes ||
    mappedBytes % PAGE_BYTES !== 0n
  ) {
    const allowed = `a multiple of ${PAGE_BYTES} below ${wholeBytes}, what ${tokens} tokens need`;
    throw badField('mapped_bytes', mappedBytes, allowed);
  }
  integerField('wait_ms', waitMs, 0, limits.grantWaitMsMax);
  integerField('lapse_ms', lapseMs, 1, LAPSE_MS_MAX);
  const size = bytes(wholeBytes - mappedBytes);
  return {
    grant: promise,
    counts: [],
    askedBytes: size,
    neededBytes: size,
    roomBytes: size,
    waitMs,
    terms: { lapseMs },
  };
}

function checkId(field: string, id: bigint): void {
  if (typeof id !== 'bigint' || id <= 0n || id > UINT64_MAX)
    throw badField(field, id, `1..${UINT64_MAX}`);
}

function checkCounts(given: OrderCounts, extentsMax: number): OrderCounts {
  const orderCount = EXTENT_ORDER_MAX + 1;
  if (!Array.isArray(given) || given.length > orderCount) {
    throw badField(
      'order_counts',
      Array.isArray(given) ? `${given.length} entries` : given,
      `at most ${orderCount} entries`,
    );
  }
  const counts = Array.from({ length: orderCount }, (_, order) =>
    order < given.length ? (given[order] as number) : 0,
  );
  counts.forEach((count, order) => integerField(`order_counts[${order}]`, count, 0, extentsMax));
  const extentCount = counts.reduce((total, count) => total + count, 0);
  if (extentCount < 1 || extentCount > extentsMax)
    throw badField('order_counts', `${extentCount} extents`, `1..${extentsMax} extents`);
  return counts;
}

export function sum(counts: OrderCounts): Bytes {
  return bytes(
    counts.reduce((total, count, order) => total + BigInt(count) * orderBytes(order), 0n),
  );
}

/**
 * What of the order `availableBytes` can meet: all of it, or as much as there is and no less than
 * the order needs, or null. Cut down, it takes the largest extents first; an extent that does not
 * fit is tried as two of half its size, and so on. At most `extentsMax` extents.
 */
export function fit(
  order: GrantOrder,
  availableBytes: bigint,
  extentsMax: number,
): OrderCounts | null {
  if (order.askedBytes <= availableBytes) return order.counts;
  if (order.neededBytes > availableBytes) return null;
  const counts = cutDown(order.counts, Number(availableBytes / PAGE_BYTES), extentsMax);
  return sum(counts) >= order.neededBytes ? counts : null;
}

function cutDown(asked: OrderCounts, availablePages: number, extentsMax: number): OrderCounts {
  const counts = Array.from({ length: EXTENT_ORDER_MAX + 1 }, () => 0);
  let pagesLeft = availablePages;
  let extentsLeft = extentsMax;
  let halves = 0;
  for (let order = EXTENT_ORDER_MAX; order >= 0; order -= 1) {
    const pages = 2 ** order;
    const wanted = (asked[order] as number) + halves;
    const taken = Math.min(wanted, Math.floor(pagesLeft / pages), extentsLeft);
    counts[order] = taken;
    pagesLeft -= taken * pages;
    extentsLeft -= taken;
    halves = 2 * (wanted - taken);
  }
  return counts;
}
