/** How a session asks, where the daemon is only pretended: orders of events that are hard to meet. */
import { describe, expect, it, vi } from 'vitest';
import { deferred } from '../../client/typescript/deadline.js';
import { adoptHeld } from '../../client/typescript/establish.js';
import { Grants } from '../../client/typescript/grants.js';
import type { Granted, GrantRequest, Link } from '../../client/typescript/link.js';
import type { Memory } from '../../client/typescript/mapping/memory.js';
import type { HeldExtent } from '../../client/typescript/service.js';
import { Returns } from '../../client/typescript/returns.js';
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
  const server = { grantsInFlightMax: 1, extentsPerGrantMax: 100, pageBytes: PAGE };
  const link = { acquire, server, cancel: () => Promise.resolve(true) } as unknown as Link;
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
    // A timer and not a clock: on a busy machine both are late, and still fire in their order.
    let late = false;
    const limit = setTimeout(() => {
      late = true;
    }, 2_900);
    const second = grants.request(link, { ...WISH, waitMs: 2_000 }, 2_000);
    setTimeout(() => answer(grants), 1_000);
    await first;
    await expect(second).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    // Its 2 s, of which one went by before it was asked for; not one and then 2 more.
    expect(late).toBe(false);
    clearTimeout(limit);
    expect(asked[1]?.waitMs).toBeLessThanOrEqual(1_400);
  });
});

function daemonWith(adopt: (extents: readonly HeldExtent[]) => Promise<bigint>): Link {
  return { server: { pageBytes: PAGE }, service: { adopt } } as unknown as Link;
}

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

describe('what is given back', () => {
  it('is told again to a daemon that was too slow to answer', async () => {
    const told: bigint[][] = [];
    const late = new KvspanError('DEADLINE_EXCEEDED', 'return: no answer within 10000 ms');
    const link = {
      return: (ids: readonly bigint[]) => {
        told.push([...ids]);
        return told.length === 1 ? Promise.reject(late) : Promise.resolve(PAGE);
      },
    } as unknown as Link;
    const returns = new Returns(() => link);
    returns.add([1n, 2n]);
    await vi.waitFor(() => expect(returns.returnedBytes).toBe(PAGE));
    expect(told).toEqual([
      [1n, 2n],
      [1n, 2n],
    ]);
  });

  it('is acknowledged when all that was added so far is, whatever comes after it', async () => {
    const answers: (() => void)[] = [];
    const link = {
      return: () => new Promise<bigint>(resolve => answers.push(() => resolve(PAGE))),
    } as unknown as Link;
    const returns = new Returns(() => link);
    returns.add([1n]);
    let done = false;
    const acknowledged = returns.acknowledged().then(() => (done = true));
    await Promise.resolve();
    returns.add([2n]);
    await vi.waitFor(() => expect(answers).toHaveLength(2));
    expect(done).toBe(false);
    answers[0]?.();
    await acknowledged;
    expect(returns.returnedBytes).toBe(PAGE);
  });
});
