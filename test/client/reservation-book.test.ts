/** Promises made again on a new session, whose link may end, or whose owner may not want them any more. */
import { describe, expect, it } from 'vitest';
import type { PromiseCut } from '../../client/typescript/events.js';
import type { Link } from '../../client/typescript/link.js';
import type { ReservedCache } from '../../client/typescript/reservation-owner.js';
import { Reservations } from '../../client/typescript/reservations.js';
import { KvspanError } from '../../proto/errors.js';
import { until } from '../support/until.js';

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

const gap = (tokens: number, have: number) => Math.max(0, tokens - have);

/** A page a token; what is mapped in each slot is said by the test. */
function twoRequests() {
  const mapped = [2, 2];
  const draws: [bigint, number][] = [];
  const told: [bigint, bigint][] = [];
  const { link } = linkThat(() => Promise.resolve(PAGE));
  const updatePromise = (id: bigint, left: bigint) => Promise.resolve(void told.push([id, left]));
  const reservations = new Reservations({
    link: Object.assign(link, { server: { extentsPerGrantMax: 64 }, updatePromise }),
    pageBytes: PAGE,
    newId: () => 9n,
    draw: (counts, id) => Promise.resolve(void draws.push([id, counts[0] as number])),
    keep: () => undefined,
    unkeep: () => undefined,
    cut: () => undefined,
  });
  const cache = {
    mappedTokens: (slot: number) => mapped[slot],
    promised: () => undefined,
    need: {
      wholeBytes: (tokens: number) => BigInt(tokens) * PAGE,
      gapBytes: (tokens: number, have: number) => BigInt(gap(tokens, have)) * PAGE,
      extentsFor: (tokens: number, _: number, have: number) => [gap(tokens, have)],
    },
  } as unknown as ReservedCache;
  const promises = [1n, 2n].map((id, slot) => {
    const promise = reservations.add(cache, 4, 1, { id, bytes: 2n * PAGE });
    reservations.bind(promise, slot);
    return promise;
  });
  return { reservations, promises, cache, mapped, draws, told };
}

describe('two requests of one session that are promised memory', () => {
  it('have what was drawn for either: who finds its own gone draws on the other promise', async () => {
    const { reservations, promises, cache, mapped, draws, told } = twoRequests();
    expect(await reservations.draw(cache, new Map([[0, 4]]), 1_000)).toBe(true);
    // The other slot took both pages, so that this one has nothing more to draw.
    mapped[1] = 4;
    expect(promises.map(({ bytes }) => bytes)).toEqual([0n, 2n * PAGE]);
    expect(await reservations.draw(cache, new Map([[0, 4]]), 1_000)).toBe(true);
    expect(draws).toEqual([
      [1n, 2],
      [2n, 2],
    ]);
    expect(promises.map(({ bytes }) => bytes)).toEqual([0n, 0n]);
    expect(told).not.toContainEqual([2n, 0n]);
    reservations.stop();
  });

  it('give up nothing of it while one of them lacks it, and all of it then', async () => {
    const { reservations, promises, cache, mapped, told } = twoRequests();
    await reservations.draw(cache, new Map([[0, 4]]), 1_000);
    mapped[1] = 4;
    const renewals = told.length;
    await until('both were renewed', () => told.length >= renewals + 4);
    expect(promises.map(({ bytes }) => bytes)).toEqual([0n, 2n * PAGE]);
    mapped[0] = 4;
    await until('it is given up', () => told.some(([id, left]) => id === 2n && left === 0n));
    expect(promises.map(({ bytes }) => bytes)).toEqual([0n, 0n]);
    reservations.stop();
  });
});
