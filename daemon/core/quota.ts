import type { Pool } from './pool.js';
import type { Session } from './sessions.js';
import { claimedBytes, isGuaranteed, type Tenant, type TenantTable } from './tenants.js';
import { bytes, type Bytes } from './types.js';

/**
 * Who is entitled to how much. A session has a limit of its own; its tenant has one too, and of the
 * pool what other tenants' guarantees hold is out of reach.
 */
export class Quotas {
  constructor(
    private readonly sessionLimitBytes: Bytes,
    private readonly tenants: TenantTable,
    private readonly pool: Pool,
  ) {}

  /** The most that the session may ever hold: more is refused at once, however long it would wait. */
  limitBytes({ tenant }: Session): Bytes {
    const ofSession = this.sessionLimitBytes;
    return isLimited(tenant, this.pool) && tenant.limitBytes < ofSession
      ? tenant.limitBytes
      : ofSession;
  }

  ofSession(session: Session): { readonly limitBytes: Bytes; readonly leftBytes: Bytes } {
    const limitBytes = this.sessionLimitBytes;
    return { limitBytes, leftBytes: bytes(limitBytes - session.heldBytes - session.promisedBytes) };
  }

  /**
   * Null: it has no limit but the pool, which is what its sessions wait for. `leftBytes` is below
   * zero if the limit was lowered under what it holds.
   */
  ofTenant(tenant: Tenant): { readonly limitBytes: Bytes; readonly leftBytes: bigint } | null {
    if (!isLimited(tenant, this.pool)) return null;
    return { limitBytes: tenant.limitBytes, leftBytes: tenant.limitBytes - claimedBytes(tenant) };
  }

  /** What of the pool is free for this tenant: not what is promised or held for others. Never below zero. */
  freeBytes(tenant: Tenant): bigint {
    const missing = this.missingBytes(tenant, 0n);
    return missing < 0n ? -missing : 0n;
  }

  /** What must come free before this tenant can have so much; below zero: more than that is free. */
  missingBytes(tenant: Tenant, wantedBytes: bigint): bigint {
    return wantedBytes - this.pool.unpromisedBytes + this.tenants.reservedFromOthers(tenant);
  }

  reachableBytes(tenant: Tenant): bigint {
    return this.tenants.reachableBytes(tenant);
  }

  /** True if this much more for the session is its tenant's by guarantee. */
  isGuaranteed({ tenant }: Session, more: bigint): boolean {
    return isGuaranteed(tenant, more);
  }
}

const isLimited = ({ limitBytes }: Tenant, { totalBytes }: Pool): boolean =>
  limitBytes < totalBytes;
