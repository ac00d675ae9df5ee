import { describe, expect, test } from 'vitest';
import {
  type Account,
  type DeviceCheck,
  DeviceChecker,
  type DeviceReading,
  LOOKS,
} from '../../daemon/core/device-check.js';

const GIB = 2n ** 30n;
const POOL = 64n * GIB;

const account = (pid: number, held: bigint, inFlight = 0n): Account => ({
  pid,
  heldBytes: held,
  inFlightBytes: inFlight,
});

/** A GPU: it says what is used, not by whom. */
const gpu = (used: bigint, free = POOL): DeviceReading => ({
  usedBytes: used,
  freeBytes: free,
  processes: null,
});

/** The host backend: the kernel says what each process has. */
const host = (...processes: [pid: number, bytes: bigint | null][]): DeviceReading => ({
  usedBytes: 0n,
  freeBytes: POOL,
  processes: processes.map(([pid, bytes]) => ({ pid, bytes })),
});

const silent = { missingBytes: 0n, unchargedBytes: 0n, shortBytes: 0n, differences: [] };

/** The same look so often that a difference counts; the last of them. */
function lasting(
  accounts: readonly Account[],
  reading: DeviceReading,
  checker = new DeviceChecker(),
  looks = LOOKS,
): DeviceCheck {
  const look = () => checker.look({ poolBytes: POOL, before: accounts, reading, after: accounts });
  for (let count = 1; count < looks; count += 1) look();
  return look();
}

describe('the books against a GPU', () => {
  test('agree while what has arrived is used; the rest of what is used is foreign', () => {
    const accounts = [account(1, 3n * GIB, GIB), account(2, GIB)];
    expect(lasting(accounts, gpu(5n * GIB))).toEqual({
      ...silent,
      deviceUsedBytes: 5n * GIB,
      deviceFreeBytes: POOL,
      grantedBytes: 4n * GIB,
      heldBytes: 3n * GIB,
      foreignBytes: 2n * GIB,
    });
    // What is in flight need not be there yet.
    expect(lasting(accounts, gpu(3n * GIB))).toMatchObject(silent);
  });

  test('part when they charge what is not used', () => {
    const accounts = [account(1, 3n * GIB), account(2, GIB)];
    expect(lasting(accounts, gpu(3n * GIB))).toMatchObject({
      missingBytes: GIB,
      foreignBytes: 0n,
      differences: [],
    });
  });

  test('part when less is free than the pool still promises', () => {
    const accounts = [account(1, 14n * GIB)];
    expect(lasting(accounts, gpu(20n * GIB, 50n * GIB))).toMatchObject(silent);
    expect(lasting(accounts, gpu(30n * GIB, 40n * GIB))).toMatchObject({
      ...silent,
      shortBytes: 10n * GIB,
    });
  });
});

describe('the books against the kernel', () => {
  test('agree with all that is between what has arrived and what is charged', () => {
    const accounts = [account(1, 3n * GIB, GIB), account(1, GIB), account(2, GIB)];
    for (const found of [3n, 4n])
      expect(lasting(accounts, host([1, found * GIB], [2, GIB]))).toMatchObject(silent);
  });

  test('part, and name the process, when it has less or more than it is charged', () => {
    const accounts = [account(1, 3n * GIB, GIB), account(2, GIB), account(3, GIB)];
    expect(lasting(accounts, host([1, GIB], [2, 3n * GIB], [3, GIB]))).toMatchObject({
      missingBytes: GIB,
      unchargedBytes: 2n * GIB,
      differences: [
        { pid: 1, chargedBytes: 2n * GIB, foundBytes: GIB },
        { pid: 2, chargedBytes: GIB, foundBytes: 3n * GIB },
      ],
    });
  });

  test('say nothing of a process that cannot be seen', () => {
    expect(lasting([account(1, GIB)], host([1, null]))).toMatchObject(silent);
  });
});

describe('a difference', () => {
  const accounts = [account(1, 2n * GIB)];

  test('counts after several looks on end, with the least that it was', () => {
    const checker = new DeviceChecker();
    expect(lasting(accounts, gpu(0n), checker, LOOKS - 1)).toMatchObject(silent);
    expect(lasting(accounts, gpu(GIB), checker, 1)).toMatchObject({ missingBytes: GIB });
    expect(lasting(accounts, gpu(0n), checker, 1)).toMatchObject({ missingBytes: GIB });
  });

  test('that goes away in between begins again', () => {
    const checker = new DeviceChecker();
    lasting(accounts, gpu(0n), checker, LOOKS - 1);
    lasting(accounts, gpu(2n * GIB), checker, 1);
    expect(lasting(accounts, gpu(0n), checker, LOOKS - 1)).toMatchObject(silent);
    expect(lasting(accounts, gpu(0n), checker, 1)).toMatchObject({ missingBytes: 2n * GIB });
  });

  test('within what is on its way is none', () => {
    const little = 2n * GIB - GIB / 64n;
    expect(lasting(accounts, gpu(little))).toMatchObject(silent);
    expect(lasting(accounts, gpu(little - GIB / 16n))).not.toMatchObject(silent);
  });

  test('is measured against the least and the most that an account was meanwhile', () => {
    const checker = new DeviceChecker();
    const look = (before: bigint, after: bigint, found: bigint) =>
      checker.look({
        poolBytes: POOL,
        before: [account(1, before * GIB)],
        reading: host([1, found * GIB]),
        after: [account(1, after * GIB)],
      });
    for (let count = 0; count < LOOKS; count += 1) {
      expect(look(1n, 4n, 2n)).toMatchObject(silent);
      expect(look(4n, 1n, 3n)).toMatchObject(silent);
    }
  });

  test('of a process that is gone is forgotten with it', () => {
    const checker = new DeviceChecker();
    const none = { poolBytes: POOL, before: [], reading: host(), after: [] };
    lasting(accounts, host([1, 0n]), checker, LOOKS - 1);
    checker.look(none);
    expect(lasting(accounts, host([1, 0n]), checker, 1)).toMatchObject(silent);
  });
});
