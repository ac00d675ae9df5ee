import { KvspanError, type Holder } from '../../proto/errors.js';
import { fit, type GrantOrder } from './grants.js';
import type { Pool } from './pool.js';
import type { Quotas } from './quota.js';
import { largestHolders, shortage, type ShortageCode } from './refusals.js';
import type { Session, SessionTable } from './sessions.js';
import { claimedBytes, type Tenant } from './tenants.js';
import type { Limits, OrderCounts } from './types.js';
import type { WaitingLine } from './waiting.js';

/** What keeps an order from being met: whose limit, and the error that says so with its numbers. */
export class Shortages {
  /** Grants refused for want of memory or time, or because the daemon drains. */
  refusedCount = 0n;

  constructor(
    private readonly limits: Limits,
    private readonly pool: Pool,
    private readonly quotas: Quotas,
    private readonly sessions: SessionTable,
    /** There is none yet while the line is made. */
    private readonly line: () => WaitingLine,
  ) {}

  /** Null: the session's own limit leaves too little. */
  quotaFit(session: Session, order: GrantOrder): OrderCounts | null {
    return fit(order, this.quotas.ofSession(session).leftBytes, this.limits.extentsPerGrantMax);
  }

  /** True if its tenant's limit leaves enough. */
  tenantFits({ tenant }: Session, order: GrantOrder): boolean {
    const ofTenant = this.quotas.ofTenant(tenant);
    if (ofTenant === null) return true;
    return fit(order, ofTenant.leftBytes, this.limits.extentsPerGrantMax) !== null;
  }

  /** What no waiting can bring: the error that says so, or null. */
  impossible(session: Session, order: GrantOrder): KvspanError | null {
    const code = this.codeOfImpossible(session, order);
    if (code === null) return null;
    this.refusedCount += 1n;
    const total = fit(order, this.pool.totalBytes, this.limits.extentsPerGrantMax);
    const held = code === 'POOL_EXHAUSTED' && total !== null ? '; the rest is held for others' : '';
    return this.shortage(session, code, order.askedBytes, `it could never be met${held}`);
  }

  refusal(
    session: Session,
    order: GrantOrder,
    remark: string,
    holders?: readonly Holder[],
  ): KvspanError {
    this.refusedCount += 1n;
    const code = this.codeOfRefusal(session, order);
    return this.shortage(session, code, order.askedBytes, remark, holders);
  }

  shortage(
    session: Session,
    code: ShortageCode,
    askedBytes: bigint,
    remark: string,
    holders: readonly Holder[] = largestHolders(this.sessions),
  ): KvspanError {
    const { of, freeBytes, limitBytes } = this.bounds(session, code);
    return shortage({ code, of, askedBytes, freeBytes, limitBytes, holders, remark });
  }

  /** How many stand before the session's next grant, for a refusal to say. */
  placeInLine(session: Session): string {
    if (session.waiting.length > 0)
      return `${session.waiting.length} grants of the session wait before it`;
    return this.line().head === null ? '' : `${this.line().count} grants wait before it`;
  }

  private codeOfImpossible(session: Session, order: GrantOrder): ShortageCode | null {
    const never = (limit: bigint): boolean =>
      fit(order, limit, this.limits.extentsPerGrantMax) === null;
    const { tenant } = session;
    if (never(this.quotas.ofSession(session).limitBytes)) return 'QUOTA_EXHAUSTED';
    const ofTenant = this.quotas.ofTenant(tenant);
    if (ofTenant !== null && never(ofTenant.limitBytes)) return 'TENANT_LIMIT';
    return never(this.quotas.reachableBytes(tenant)) ? 'POOL_EXHAUSTED' : null;
  }

  /** What keeps the order, or who is before it in its session or tenant, from being met. */
  private codeOfRefusal(session: Session, order: GrantOrder): ShortageCode {
    const first = session.waiting[0]?.order ?? order;
    if (this.quotaFit(session, order) === null || this.quotaFit(session, first) === null)
      return 'QUOTA_EXHAUSTED';
    const before = this.line().firstOf(session.tenant)?.order ?? order;
    const allowed = this.tenantFits(session, order) && this.tenantFits(session, before);
    return allowed ? 'POOL_EXHAUSTED' : 'TENANT_LIMIT';
  }

  private bounds(
    session: Session,
    code: ShortageCode,
  ): { readonly of: string; readonly freeBytes: bigint; readonly limitBytes: bigint } {
    const { tenant } = session;
    const { limitBytes, leftBytes } = this.quotas.ofSession(session);
    if (code === 'QUOTA_EXHAUSTED')
      return { of: 'session limit', freeBytes: leftBytes, limitBytes };
    const free = this.quotas.freeBytes(tenant);
    if (code === 'POOL_EXHAUSTED')
      return { of: this.ofPool(), freeBytes: free, limitBytes: this.pool.totalBytes };
    const left = tenant.limitBytes - claimedBytes(tenant);
    return {
      of: `tenant ${tenant.spec.name}, which holds ${tenant.heldBytes}${promised(tenant)}`,
      freeBytes: left > 0n ? left : 0n,
      limitBytes: tenant.limitBytes,
    };
  }

  private ofPool(): string {
    const { promisedBytes } = this.pool;
    return promisedBytes > 0n ? `pool, of which ${promisedBytes} is promised` : 'pool';
  }
}

const promised = ({ promisedBytes }: Tenant): string =>
  promisedBytes > 0n ? ` and is promised ${promisedBytes}` : '';
