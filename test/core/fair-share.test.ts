import { array, assert, integer, nat, property, tuple } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { takeFromFurthest } from '../../daemon/core/fair-share.js';

const claim = (above: number, weight: number, atMost = above) => ({
  aboveBytes: BigInt(above),
  atMostBytes: BigInt(atMost),
  weight,
});

describe('taking from those furthest above their share', () => {
  test.each([
    ['the furthest alone, if it stays the furthest', [claim(10, 1), claim(4, 1)], 5n, [5n, 0n]],
    ['all down to one level', [claim(10, 1), claim(6, 1)], 8n, [6n, 2n]],
    ['by weight', [claim(12, 3), claim(6, 1)], 2n, [0n, 2n]],
    ['no more than there is of one', [claim(10, 1, 2), claim(6, 1)], 6n, [2n, 4n]],
    ['everything, if that is not enough', [claim(3, 1), claim(2, 5)], 9n, [3n, 2n]],
    ['nothing of nobody', [], 3n, []],
  ])('is %s', (_what, claims, needed, expected) => {
    expect(takeFromFurthest(claims, needed, 1n)).toEqual(expected);
  });

  test('brings what is needed, at most a unit each too much, and levels whom it takes from', () => {
    const one = tuple(integer({ min: 1, max: 50_000 }), integer({ min: 1, max: 1_000 })).map(
      ([above, weight]) => claim(above, weight),
    );
    assert(
      property(array(one, { minLength: 1, maxLength: 8 }), nat(60_000), (claims, wanted) => {
        const taken = takeFromFurthest(claims, BigInt(wanted), 1n);
        const sum = taken.reduce((total, amount) => total + amount, 0n);
        const all = claims.reduce((total, { aboveBytes }) => total + aboveBytes, 0n);
        expect(sum >= (BigInt(wanted) < all ? BigInt(wanted) : all)).toBe(true);
        expect(sum <= BigInt(wanted + claims.length)).toBe(true);
        const left = claims.map(({ aboveBytes, weight }, index) => ({
          share: Number(aboveBytes - (taken[index] as bigint)) / weight,
          // One unit of rounding.
          slack: 1 / weight,
          gave: (taken[index] as bigint) > 0n,
        }));
        const level = Math.max(...left.map(({ share }) => share));
        const lowest = left.filter(({ gave }) => gave).map(({ share, slack }) => share + slack);
        expect(Math.min(level, ...lowest)).toBeGreaterThanOrEqual(level - 1e-6);
      }),
      { seed: 5, numRuns: 300 },
    );
  });
});
