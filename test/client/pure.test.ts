import { describe, expect, it } from 'vitest';
import { within } from '../../client/typescript/deadline.js';
import { type Geometry, laneCount, placeOf, rowBytes } from '../../client/typescript/geometry.js';
import { bytesOf, limited } from '../../client/typescript/grants.js';
import {
  delayBefore,
  keepTrying,
  RECONNECT_FIRST_MS,
  RECONNECT_MAX_MS,
} from '../../client/typescript/reconnect.js';
import { PendingRequests } from '../../client/typescript/requests.js';
import * as validate from '../../client/typescript/validate.js';
import { viewOf } from '../../client/typescript/views.js';
import { planSizes } from '../../daemon/core/geometry.js';
import { KvspanError } from '../../proto/errors.js';

const tokenMajor: Geometry = {
  layout: 'token-major',
  layers: 3,
  kvHeads: 2,
  headDim: 8,
  dtype: 'bf16',
  slots: 4,
  maxTokens: 1000,
};
const layouts: Geometry[] = [
  tokenMajor,
  { ...tokenMajor, layout: 'layer-major', dtype: 'fp32' },
  { ...tokenMajor, layout: 'latent', kvHeads: 1, dtype: 'fp8-e4m3' },
];

describe('pending requests', () => {
  it('settle by their answer, once', async () => {
    const pending = new PendingRequests<string>();
    const { id, answer } = pending.open('acquire', 1000);
    pending.settle(id, 'first');
    pending.settle(id, 'second');
    expect(await answer).toBe('first');
    expect(pending.lateAnswers).toBe(1);
    expect(pending.size).toBe(0);
  });

  it('settle by their deadline, and an answer after that is dropped', async () => {
    const pending = new PendingRequests<string>();
    const { id, answer } = pending.open('return', 20);
    await expect(answer).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: expect.stringContaining('return'),
    });
    pending.settle(id, 'late');
    expect(pending.lateAnswers).toBe(1);
  });

  it('settle all when the stream ends', async () => {
    const pending = new PendingRequests<string>();
    const answers = [pending.open('a', 1000), pending.open('b', 1000)].map(({ answer }) => answer);
    pending.refuseAll(new KvspanError('DAEMON_UNAVAILABLE', 'gone'));
    const outcomes = await Promise.allSettled(answers);
    expect(outcomes.every(outcome => outcome.status === 'rejected')).toBe(true);
    expect(pending.size).toBe(0);
  });

  it('have ids of their own, none of them 0', () => {
    const pending = new PendingRequests<string>();
    const ids = Array.from({ length: 100 }, () => pending.open('x', 1000)).map(({ id, answer }) => {
      answer.catch(() => undefined);
      return id;
    });
    expect(new Set(ids).size).toBe(100);
    expect(ids).not.toContain(0n);
    pending.refuseAll(new KvspanError('CLOSED', 'end'));
  });
});

describe('deadlines', () => {
  it('pass an outcome on and give up in time', async () => {
    expect(await within(Promise.resolve(7), 50, 'x')).toBe(7);
    const never = new Promise<number>(() => undefined);
    const start = performance.now();
    await expect(within(never, 30, 'waiting')).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(performance.now() - start).toBeLessThan(20_000);
  });
});

describe('geometry', () => {
  it.each(layouts)('agrees with the daemon about rows and lanes: $layout', geometry => {
    const sizes = planSizes(geometry);
    expect(BigInt(rowBytes(geometry))).toBe(sizes.rowBytes);
    expect(laneCount(geometry)).toBe(sizes.laneCount);
  });

  it.each(layouts)(
    'gives every layer and part bytes of its own, all of the row: $layout',
    geometry => {
      const parts = geometry.layout === 'latent' ? (['key'] as const) : (['key', 'value'] as const);
      const taken = new Set<string>();
      for (let layer = 0; layer < geometry.layers; layer++) {
        for (const part of parts) {
          const place = placeOf(geometry, layer, part);
          expect(place.offsetBytes + place.widthBytes).toBeLessThanOrEqual(rowBytes(geometry));
          for (let at = 0; at < place.widthBytes; at++)
            taken.add(`${place.lane}:${place.offsetBytes + at}`);
        }
      }
      expect(taken.size).toBe(rowBytes(geometry) * laneCount(geometry));
    },
  );

  it.each([-1, 3, 0.5, Number.NaN])('refuses layer %s and says what there is', layer => {
    expect(() => placeOf(tokenMajor, layer, 'key')).toThrow(/layer: got .*, allowed: 0 \.\. 2/);
  });

  it('has no V in the latent layout', () => {
    expect(() => placeOf(layouts[2] as Geometry, 0, 'value')).toThrow(/layout/);
  });
});

describe('views', () => {
  it.each(layouts)('address what the plan says: $layout', geometry => {
    const plan = { ...planSizes(geometry), baseAddress: 0x7000_0000_0000n };
    const view = viewOf(geometry, plan, 2, 'key');
    expect(view.shape).toEqual([4, 1000, geometry.kvHeads, 8]);
    const { lane, offsetBytes } = placeOf(geometry, 2, 'key');
    const [slot, token, head, dim] = view.strideBytes;
    expect(view.address).toBe(
      plan.baseAddress + BigInt(lane) * plan.laneStrideBytes + BigInt(offsetBytes),
    );
    expect([BigInt(slot), BigInt(token)]).toEqual([plan.slotStrideBytes, plan.rowBytes]);
    expect(head).toBe(8 * dim);
    expect(view.strides.map(stride => stride * dim)).toEqual([...view.strideBytes]);
    expect(view.strides.every(Number.isInteger)).toBe(true);
  });
});

describe('grants', () => {
  it('are cut to what one may hold, the largest extents first', () => {
    expect(limited([5, 0, 3], 4)).toEqual([1, 0, 3]);
    expect(limited([1, 1], 10)).toEqual([1, 1]);
    expect(limited([1, 1], 0)).toEqual([0, 0]);
  });

  it('are counted in bytes by order', () => {
    expect(bytesOf([1, 2, 0, 1], 2n)).toBe(2n + 8n + 16n);
  });
});

describe('reconnecting', () => {
  it('waits longer each time, never above the cap, never below half of it', () => {
    const low = [1, 2, 3, 20].map(attempt => delayBefore(attempt, () => 0));
    const high = [1, 2, 3, 20].map(attempt => delayBefore(attempt, () => 1));
    expect(high).toEqual([
      RECONNECT_FIRST_MS,
      2 * RECONNECT_FIRST_MS,
      4 * RECONNECT_FIRST_MS,
      RECONNECT_MAX_MS,
    ]);
    expect(low).toEqual(high.map(ms => ms / 2));
  });

  it('goes on until it works, and ends at once when told to', async () => {
    let attempts = 0;
    await keepTrying(async () => ++attempts === 3, new AbortController().signal);
    expect(attempts).toBe(3);
    const stop = new AbortController();
    const trying = keepTrying(async () => false, stop.signal);
    stop.abort();
    await trying;
  });
});

describe('validation', () => {
  it.each([
    ['layers', 0],
    ['layers', 1.5],
    ['kvHeads', -1],
    ['headDim', Number.NaN],
    ['slots', 2 ** 31],
    ['maxTokens', '8'],
    ['dtype', 'int8'],
    ['layout', 'row-major'],
  ])('refuses %s = %s by name', (field, value) => {
    const given = { ...tokenMajor, [field]: value } as Geometry;
    expect(() => validate.geometry(given)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', field }),
    );
  });

  it('refuses heads in the latent layout', () => {
    expect(() => validate.geometry({ ...tokenMajor, layout: 'latent' })).toThrow(/kvHeads/);
  });

  it('refuses rows that are not whole tokens', () => {
    expect(validate.tokensIn(new Uint8Array(24), 8)).toBe(3);
    expect(() => validate.tokensIn(new Uint8Array(25), 8)).toThrow(/25/);
    expect(() => validate.tokensIn(new Uint8Array(0), 8)).toThrow(/at least one/);
    expect(() => validate.tokensIn([1], 8)).toThrow(/Uint8Array/);
  });

  it('refuses order counts that a grant cannot hold', () => {
    expect(validate.orderCounts([0, 2], 9, 4)).toEqual([0, 2]);
    expect(() => validate.orderCounts([], 9, 4)).toThrow(/counts/);
    expect(() => validate.orderCounts([5], 9, 4)).toThrow(/counts\[0\]/);
    expect(() => validate.orderCounts([3, 3], 9, 4)).toThrow(/6 extents/);
    expect(() => validate.orderCounts(Array(11).fill(0), 9, 4)).toThrow(/at most 10/);
  });
});
