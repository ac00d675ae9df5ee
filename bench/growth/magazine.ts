/** Filling and emptying a session's magazine by hand. */
import type { Session } from '../../client/typescript/index.js';

const PER_GRANT = 1024;
const PATIENCE = { waitMs: 60_000 } as const;

/** So many extents of each order, in as many grants as it takes. */
export async function acquireAll(session: Session, counts: readonly number[]): Promise<void> {
  for (const [order, count] of counts.entries()) {
    for (let done = 0; done < count; done += PER_GRANT) {
      const wanted = Array.from({ length: order + 1 }, () => 0);
      wanted[order] = Math.min(PER_GRANT, count - done);
      await session.acquire(wanted, PATIENCE);
    }
  }
}

export async function giveAllBack(session: Session): Promise<void> {
  await session.giveBack(2n ** 62n);
}
