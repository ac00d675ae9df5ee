import { badField } from '../../proto/errors.js';
import { PAGE_BYTES, type Limits } from './types.js';

/** The named limits of what a request may say; those that an operator sets are in `Limits`. */
export const LAYERS_MAX = 1024;
export const KV_HEADS_MAX = 1024;
export const HEAD_DIM_MAX = 8192;
export const SLOTS_MAX = 65_536;
export const MAX_TOKENS_MAX = 16 * 1024 * 1024;
/** In bytes of printable ASCII. */
export const CACHE_NAME_MAX = 64;
/** The end of what a process can address on x86-64 with five-level page tables. */
export const ADDRESS_END = 1n << 57n;
export const TENANTS_MAX = 256;
/** In bytes of letters, digits, dots, underscores and hyphens. */
export const TENANT_NAME_MAX = 64;
export const WEIGHT_MAX = 1_000_000;
/** Of a promise that is not used: longer than any pause between two steps, shorter than a coffee break. */
export const LAPSE_MS_MAX = 600_000;
/** As the native core's: kernels read whole tiles of at most a few hundred rows past the length. */
export const OVERREAD_TOKENS_MAX = 65_536;
export const PROMISES_PER_SESSION_MAX = 16_384;
/** How many holders a refusal names. */
export const HOLDERS_MAX = 8;
/**
 * How long a session has to answer a reclaim, and so how often the ledger asks again while somebody
 * waits. Long enough to unmap and return gigabytes (34 us a page), short against a request's patience.
 */
export const RECLAIM_DEADLINE_MS = 250;

/** An integer of `low..high`, or the error that names the field. */
export function integerField(field: string, given: number, low: number, high: number): number {
  if (Number.isInteger(given) && given >= low && given <= high) return given;
  throw badField(field, given, `an integer of ${low}..${high}`);
}

/** A whole number of pages, from `low`, or the error that names the field. */
export function pagesField(field: string, given: bigint, low: bigint): void {
  if (typeof given === 'bigint' && given >= low && given % PAGE_BYTES === 0n) return;
  throw badField(field, given, `a multiple of ${PAGE_BYTES} from ${low}`);
}

/** Throws for limits that no ledger can keep, so that a daemon with a bad configuration never starts. */
export function checkLimits(limits: Limits): void {
  pagesField('poolBytes', limits.poolBytes, PAGE_BYTES);
  pagesField('sessionLimitBytes', limits.sessionLimitBytes, PAGE_BYTES);
  pagesField('addressPlanBase', limits.addressPlanBase, PAGE_BYTES);
  pagesField('addressPlanBytes', limits.addressPlanBytes, PAGE_BYTES);
  if (limits.addressPlanBase + limits.addressPlanBytes > ADDRESS_END) {
    throw badField(
      'addressPlanBytes',
      limits.addressPlanBytes,
      `a plan that ends by ${ADDRESS_END}`,
    );
  }
  for (const field of [
    'sessionsMax',
    'cachesPerSessionMax',
    'grantsInFlightMax',
    'extentsPerGrantMax',
  ] as const) {
    integerField(field, limits[field], 1, Number.MAX_SAFE_INTEGER);
  }
  integerField('grantWaitMsMax', limits.grantWaitMsMax, 0, Number.MAX_SAFE_INTEGER);
}
