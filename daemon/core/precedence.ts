import { borrowedBytes, isGuaranteed } from './tenants.js';
import type { Waiter } from './waiting.js';

/**
 * Whose waiting grant is met before another tenant's. What a guarantee covers comes first, and of
 * that what is held, since it is there: nobody who waits for others to give back stands before it.
 * Then those who borrow, the one with the lowest share for its weight first; after them who owes what
 * a guarantee needed. Otherwise who came first.
 */
export function hasPrecedence(a: Waiter, b: Waiter): boolean {
  const [rankA, rankB] = [rankOf(a), rankOf(b)];
  if (rankA !== rankB) return rankA < rankB;
  if (rankA === rank.borrows) {
    const difference = compareShares(a, b);
    if (difference !== 0) return difference < 0;
  }
  return a.sequence < b.sequence;
}

/** The lower goes first. */
const rank = { held: 0, guaranteed: 1, borrows: 2, owes: 3 } as const;

function rankOf({ session, order }: Waiter): number {
  const { tenant, overdueAboveBytes } = session;
  if (isGuaranteed(tenant, order.roomBytes)) return tenant.held ? rank.held : rank.guaranteed;
  return overdueAboveBytes === null ? rank.borrows : rank.owes;
}

/** What each has borrowed for its weight, compared without dividing. */
function compareShares({ session: a }: Waiter, { session: b }: Waiter): number {
  const left = borrowedBytes(a.tenant) * BigInt(b.tenant.weight);
  const right = borrowedBytes(b.tenant) * BigInt(a.tenant.weight);
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
