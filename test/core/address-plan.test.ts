import { describe, expect, test } from 'vitest';
import { AddressPlan } from '../../daemon/core/address-plan.js';
import { address, type Address } from '../../daemon/core/types.js';
import { Prng } from './prng.js';
import { PLAN_BASE, pages, refused } from './support.js';

const ANYWHERE = address(0n);
const planOf = (pageCount: number): AddressPlan =>
  new AddressPlan(address(PLAN_BASE), pages(pageCount));
const page = (index: number): Address => address(PLAN_BASE + pages(index));

describe('the address plan', () => {
  test('gives the first range that fits', () => {
    const plan = planOf(10);
    expect(plan.allocate(pages(3), ANYWHERE)).toBe(page(0));
    expect(plan.allocate(pages(2), ANYWHERE)).toBe(page(3));
    plan.release(page(0), pages(3));
    expect(plan.allocate(pages(4), ANYWHERE)).toBe(page(5));
    expect(plan.allocate(pages(3), ANYWHERE)).toBe(page(0));
  });

  test('honours a wanted base that is free', () => {
    const plan = planOf(10);
    expect(plan.allocate(pages(2), page(4))).toBe(page(4));
    expect(plan.allocate(pages(4), ANYWHERE)).toBe(page(0));
    expect(plan.allocate(pages(4), page(6))).toBe(page(6));
    expect(plan.freeBytes).toBe(0n);
  });

  test.each([
    ['taken', page(2)],
    ['half taken', page(1)],
    ['below the plan', address(PLAN_BASE - pages(1))],
    ['over the end of the plan', page(9)],
    ['past the plan', page(12)],
  ])('gives other addresses for a wanted base that is %s', (_what, wanted) => {
    const plan = planOf(10);
    plan.allocate(pages(2), page(2));
    expect(plan.allocate(pages(2), wanted)).toBe(page(0));
  });

  test('joins what is given back with its free neighbours', () => {
    const plan = planOf(9);
    for (const index of [0, 3, 6]) plan.allocate(pages(3), page(index));
    for (const index of [0, 6, 3]) plan.release(page(index), pages(3));
    plan.check();
    expect(plan.largestFreeBytes()).toBe(pages(9));
    expect(plan.allocate(pages(9), ANYWHERE)).toBe(page(0));
  });

  test('says what was asked, what is left and the largest piece when nothing fits', () => {
    const plan = planOf(10);
    plan.allocate(pages(2), page(4));
    const error = refused('ADDRESS_PLAN_EXHAUSTED', () => plan.allocate(pages(5), ANYWHERE));
    expect(error).toMatchObject({
      askedBytes: pages(5),
      freeBytes: pages(8),
      limitBytes: pages(10),
    });
    expect(error.message).toContain(`the largest range has ${pages(4)}`);
    expect(plan.freeBytes).toBe(pages(8));
  });

  test('refuses to take or give back a range twice', () => {
    const plan = planOf(4);
    plan.allocate(pages(2), ANYWHERE);
    refused('INTERNAL', () => plan.take(page(1), pages(1)));
    plan.release(page(0), pages(2));
    refused('INTERNAL', () => plan.release(page(1), pages(1)));
    refused('INTERNAL', () => plan.release(page(0), pages(4)));
    expect(plan.freeBytes).toBe(pages(4));
  });

  test('5,000 random changes leave the pages as a plain list of pages has them', () => {
    const prng = new Prng(3);
    const plan = planOf(64);
    const owner = Array.from({ length: 64 }, () => 0);
    let mismatches = 0;
    const taken = new Map<number, { base: Address; count: number }>();
    for (let id = 1; id <= 5_000; id += 1) {
      const freed = prng.pick([...taken.keys()]);
      if (freed !== undefined && prng.chance(0.5)) {
        const { base, count } = taken.get(freed) as { base: Address; count: number };
        plan.release(base, pages(count));
        taken.delete(freed);
        owner.forEach((other, index) => {
          if (other === freed) owner[index] = 0;
        });
      } else {
        const count = prng.between(1, 12);
        const first = owner.findIndex(
          (_, index) =>
            index + count <= 64 && owner.slice(index, index + count).every(other => other === 0),
        );
        const allocate = (): Address => plan.allocate(pages(count), ANYWHERE);
        if (first === -1) refused('ADDRESS_PLAN_EXHAUSTED', allocate);
        else {
          mismatches += Number(allocate() !== page(first));
          owner.fill(id, first, first + count);
          taken.set(id, { base: page(first), count });
        }
      }
      plan.check();
    }
    expect(mismatches).toBe(0);
    expect(plan.freeBytes).toBe(pages(owner.filter(other => other === 0).length));
  });
});
