/** Promises made again on a new session, whose link may end, or whose owner may not want them any more. */
import { describe, expect, it } from 'vitest';
import type { PromiseCut } from '../../client/typescript/events.js';
import type { Link } from '../../client/typescript/link.js';
import { type ReservedCache, Reservations } from '../../client/typescript/reservations.js';
import { KvspanError } from '../../proto/errors.js';

const PAGE = 2n ** 21n;

function book() {
  const cuts: PromiseCut[] = [];
  let id = 0n;
  const reservations = new Reservations({
    link: null,
    pageBytes: PAGE,
    newId: () => (id += 1n),
    draw: () => Promise.resolve(),
    keep: () => undefined,
    unkeep: () => undefined,
    cut: event => void cuts.push(event),
  });
  const need = { wholeBytes: () => PAGE, gapBytes: () => PAGE };
  const cache = { cacheId: 1n, closed: false, overreadTokens: 0, need } as unknown as ReservedCache;
  const promise = reservations.add(cache, 10, 1_000, { id: 1n, bytes: PAGE });
  return { reservations, promise, cuts };
}

/** A link that answers a reservation so, and notes what it is told. */
function linkThat(reserve: () => Promise<bigint>, open = true) {
  const told: [bigint, bigint][] = [];
  const link = {
    open,
    reserve,
    updatePromise: (id: bigint, left: bigint) => {
      told.push([id, left]);
      return Promise.resolve();
    },
  } as unknown as Link;
  return { link, told };
}

const refusal = (code: 'DAEMON_UNAVAILABLE' | 'POOL_EXHAUSTED') => () =>
  Promise.reject(new KvspanError(code, 'no'));

describe('a reservation that is made again', () => {
  it('is lost if the daemon has no room for it', async () => {
    const { reservations, promise, cuts } = book();
    await reservations.restore(linkThat(refusal('POOL_EXHAUSTED')).link);
    expect([promise.ended, cuts.length]).toEqual(['lost', 1]);
  });

  it('is not lost because the link ends meanwhile: the next session asks again', async () => {
    const { reservations, promise, cuts } = book();
    const { link } = linkThat(refusal('DAEMON_UNAVAILABLE'), false);
    await expect(reservations.restore(link)).rejects.toMatchObject({ code: 'DAEMON_UNAVAILABLE' });
    expect([promise.ended, cuts.length]).toEqual([null, 0]);
    await reservations.restore(linkThat(() => Promise.resolve(PAGE)).link);
    expect(promise).toMatchObject({ ended: null, bytes: PAGE });
  });

  it('that was released meanwhile is not kept at the daemon', async () => {
    const { reservations, promise } = book();
    const { link, told } = linkThat(() => {
      promise.release();
      return Promise.resolve(PAGE);
    });
    await reservations.restore(link);
    expect(promise).toMatchObject({ ended: 'released', bytes: 0n });
    expect(told).toEqual([[promise.id, 0n]]);
  });
});
