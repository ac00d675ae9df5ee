/** How a session asks, where the daemon is only pretended: orders of events that are hard to meet. */
import { describe, expect, it, vi } from 'vitest';
import { deferred } from '../../client/typescript/deadline.js';
import { adoptHeld } from '../../client/typescript/establish.js';
import { Grants } from '../../client/typescript/grants.js';
import type { Granted, GrantRequest, Link } from '../../client/typescript/link.js';
import type { Memory } from '../../client/typescript/mapping/memory.js';
import type { HeldExtent } from '../../client/typescript/service.js';
import { KvspanError } from '../../proto/errors.js';
import { PAGE } from '../support/daemon.js';

const WISH = { counts: [1], minimumBytes: 0n };

/** A link on which at most one grant may be in flight, and whose answers the test gives. */
function slowLink() {
  const asked: GrantRequest[] = [];
  const answers: { readonly resolve: (granted: Granted) => void }[] = [];
  const acquire = (request: GrantRequest): Promise<Granted> => {
    asked.push(request);
    const answer = deferred<Granted>();
    answers.push(answer);
    return answer.promise;
  };
  const cancel = vi.fn(() => Promise.resolve(true));
  const server = { grantsInFlightMax: 1, extentsPerGrantMax: 100, pageBytes: PAGE };
  const link = { acquire, cancel, server } as unknown as Link;
  const answer = (grants: Grants): void => {
    const request = asked.at(-1) as GrantRequest;
    grants.arrived(request.grantId, 1);
    answers.at(-1)?.resolve({ extentCount: 1, grantedBytes: PAGE });
  };
  return { link, asked, answer };
}

describe('a grant for which there is no room yet', () => {
  it('is not asked for if it was withdrawn meanwhile', async () => {
    const { link, asked, answer } = slowLink();
    const grants = new Grants();
    const first = grants.request(link, { ...WISH, waitMs: 1_000 }, 5_000);
    const withdrawn = new AbortController();
    const second = grants.fetch(link, { ...WISH, waitMs: 1_000, signal: withdrawn.signal }, 5_000);
    withdrawn.abort();
    answer(grants);
    await first;
    await expect(second).rejects.toMatchObject({ code: 'GRANT_CANCELLED' });
    expect(asked).toHaveLength(1);
    expect(grants.counts().inFlight).toBe(0);
  });

  it('waits at the daemon only for what is left of its time', async () => {
    const { link, asked, answer } = slowLink();
    const grants = new Grants();
    const first = grants.request(link, { ...WISH, waitMs: 1_000 }, 5_000);
    const start = performance.now();
    const second = grants.request(link, { ...WISH, waitMs: 1_000 }, 600);
    setTimeout(() => answer(grants), 300);
    await first;
    await expect(second).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    // Its 600 ms, of which 300 went by before it was asked for; not 300 and then 600 more.
    expect(performance.now() - start).toBeLessThan(850);
    expect(asked[1]?.waitMs).toBeLessThanOrEqual(700);
  });
});

describe('what a process holds, more than one message may carry', () => {
  const COUNT = 40_000;
  const held = Array.from({ length: COUNT }, (_, index) => ({
    id: BigInt(index + 1),
    bytes: PAGE,
  }));
  const pairs = BigUint64Array.from(held.flatMap(({ id, bytes }) => [id, bytes]));

  const memory = {
    held: () => pairs,
    pauseReleases: () => undefined,
    resumeReleases: () => undefined,
    stats: () => ({ heldBytes: BigInt(COUNT) * PAGE }),
    giveBack: () => Promise.resolve(0n),
  } as unknown as Memory;

  function daemonWith(adopt: (extents: readonly HeldExtent[]) => Promise<bigint>): Link {
    return { server: { pageBytes: PAGE }, service: { adopt } } as unknown as Link;
  }

  it('is adopted in several, each extent once', async () => {
    const seen: bigint[] = [];
    let largest = 0;
    const link = daemonWith(extents => {
      largest = Math.max(largest, extents.length);
      seen.push(...extents.map(({ id }) => id));
      return Promise.resolve(BigInt(seen.length) * PAGE);
    });
    expect(await adoptHeld(memory, link, 1_000)).toBe(BigInt(COUNT) * PAGE);
    expect(new Set(seen).size).toBe(COUNT);
    // 9 bytes each: well within the 256 KiB that a daemon takes unless told otherwise.
    expect(largest * 9).toBeLessThan(200_000);
  });

  it('is not adopted twice when the daemon had no room for the rest at first', async () => {
    const seen: bigint[] = [];
    let refused = 0;
    const link = daemonWith(extents => {
      if (seen.length > 0 && refused++ === 0)
        return Promise.reject(new KvspanError('QUOTA_EXHAUSTED', 'no room'));
      seen.push(...extents.map(({ id }) => id));
      return Promise.resolve(BigInt(seen.length) * PAGE);
    });
    expect(await adoptHeld(memory, link, 1_000)).toBe(BigInt(COUNT) * PAGE);
    expect(seen).toHaveLength(COUNT);
    expect(new Set(seen).size).toBe(COUNT);
  });
});
