/** The ledger's limits, from the configuration and the sizes that the device allowed. */
import { address, bytes, type Bytes, type Limits } from '../core/types.js';
import type { Config } from './schema.js';
import { tenantsOf } from './tenants.js';

/**
 * Where caches lie: 64 TiB from 17 TiB on. Below the places where the kernel puts programs (85 TiB)
 * and mappings (127 TiB) on x86-64, and above the shadow of an address sanitizer (16 TiB).
 */
const ADDRESS_PLAN_BASE = 17n * 2n ** 40n;
const ADDRESS_PLAN_BYTES = 64n * 2n ** 40n;

export function limitsOf(config: Config, poolBytes: Bytes, sessionLimitBytes: Bytes): Limits {
  return {
    poolBytes,
    sessionLimitBytes,
    tenants: tenantsOf(config.tenants, poolBytes),
    sessionsMax: config.sessionsMax,
    cachesPerSessionMax: config.cachesPerSessionMax,
    grantsInFlightMax: config.grantsInFlightMax,
    extentsPerGrantMax: config.extentsPerGrantMax,
    grantWaitMsMax: config.grantWaitMsMax,
    addressPlanBase: address(ADDRESS_PLAN_BASE),
    addressPlanBytes: bytes(ADDRESS_PLAN_BYTES),
  };
}
