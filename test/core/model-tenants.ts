/** What tenants are entitled to, once more and plainly: `held` is what one holds or is promised, in pages. */
import type { ModelTenant } from './model-types.js';

export interface Claim {
  /** The lower is served first. */
  readonly rank: number;
  readonly share: number;
}

/** Kept free for the tenant and nobody else. */
export const reserved = ({ kept, guaranteed }: ModelTenant, held: number): number =>
  kept ? Math.max(0, guaranteed - held) : 0;

/** Who is served first: guarantees, what is kept before what is lent; then the lowest share of its weight. */
export function claim(tenant: ModelTenant, held: number, covered: boolean, owes: boolean): Claim {
  if (covered) return { rank: tenant.kept ? 0 : 1, share: 0 };
  if (owes) return { rank: 3, share: 0 };
  return { rank: 2, share: Math.max(0, held - tenant.guaranteed) / tenant.weight };
}
