/** Memory from the daemon: cold grants, returns, session set-up. */
import { connect, type Session } from '../../client/typescript/index.js';
import type { DeviceOptions } from '../../native/index.js';
import type { Row } from '../report/results.js';
import { row } from '../report/statistics.js';
import { coldGrantFloor, withRawDevice } from './floor.js';
import { orderCounts, PAGE_BYTES } from './plan.js';
import { tokensIn, type Workload } from './workload.js';

const US_PER_MS = 1000;
const ORDER_MAX_BYTES = 512 * PAGE_BYTES;

const since = (start: number) => (performance.now() - start) * US_PER_MS;
const label = (bytes: number) =>
  bytes >= 2 ** 30 ? `${bytes / 2 ** 30} GiB` : `${bytes / 2 ** 20} MiB`;

/** Microseconds of the raw calls of a cold grant, by the extent's size. */
export type ColdFloors = ReadonlyMap<number, readonly number[]>;

/** The first of each size is for warming up, and is left out. */
export function coldFloors(device: DeviceOptions, workload: Workload): ColdFloors {
  const once = (size: number) =>
    withRawDevice(device, raw => coldGrantFloor(raw, BigInt(size)).total);
  return new Map(
    workload.coldGrantBytes.map(size => [
      size,
      Array.from({ length: workload.repeats + 1 }, () => once(size)).slice(1),
    ]),
  );
}

/**
 * From "no memory" to mapped memory: a first `allocate` with an empty magazine, beside the sum of
 * the raw create, export, import, map and set-access of one extent of that size. The driver's
 * export is dear to a process that is alone on the device and cheap beside the daemon, which sees
 * to that (docs/measured.md): `alone` was taken before there was a daemon.
 */
export async function coldGrant(
  session: Session,
  device: DeviceOptions,
  workload: Workload,
  alone: ColdFloors,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (let round = 0; round < workload.warmUpGrants; round += 1)
    await allocateOnce(session, workload, PAGE_BYTES);
  for (const size of workload.coldGrantBytes) {
    const cold: number[] = [];
    const floor: number[] = [];
    for (let repeat = 0; repeat <= workload.repeats; repeat += 1) {
      cold.push(await allocateOnce(session, workload, size));
      floor.push(withRawDevice(device, raw => coldGrantFloor(raw, BigInt(size)).total));
    }
    const name = `cold grant to mapped memory, ${label(size)}`;
    const ratio = (floors: readonly number[]) =>
      cold.slice(1).map((us, i) => us / (floors[i] as number));
    const aloneUs = alone.get(size) as readonly number[];
    const raw = 'raw create + export + import + map + access';
    rows.push(
      row(name, `${raw}, no daemon on the device`, 'us', aloneUs),
      row(name, `${raw}, beside the daemon`, 'us', floor.slice(1)),
      row(name, 'kvspan allocate', 'us', cold.slice(1)),
      row(name, 'ratio to raw, no daemon on the device', 'ratio', ratio(aloneUs)),
      row(name, 'ratio to raw, beside the daemon', 'ratio', ratio(floor.slice(1))),
    );
  }
  return rows;
}

/** Microseconds of one allocation for which the session has no memory at all. */
async function allocateOnce(session: Session, workload: Workload, size: number): Promise<number> {
  const cache = await session.createCache({
    ...workload.geometry,
    slots: 1,
    maxTokens: tokensIn(Math.max(size, ORDER_MAX_BYTES), workload),
    lookaheadTokens: 0,
    name: 'bench-cold',
  });
  const start = performance.now();
  await cache.allocate(tokensIn(size, workload), { waitMs: 10_000 });
  const us = since(start);
  await cache.close();
  await session.giveBack(2n ** 62n);
  return us;
}

/** Giving extents back: released by the client, told to the daemon, credited. */
export async function giveBack(session: Session, workload: Workload): Promise<Row[]> {
  const samples: number[] = [];
  for (let repeat = 0; repeat < workload.repeats; repeat += 1) {
    await session.acquire(orderCounts(Array.from({ length: 64 }, () => PAGE_BYTES)));
    const ids = session.extents().map(extent => extent.id);
    const start = performance.now();
    await session.returnExtents(ids);
    samples.push(since(start));
  }
  return [row('return, 64 extents of 2 MiB', 'released, told and credited', 'us', samples)];
}

/** A serving process comes up: connect, one cache; and goes. */
export async function sessionSetUp(
  socketDirectory: string,
  device: DeviceOptions,
  workload: Workload,
): Promise<Row[]> {
  const connectUs: number[] = [];
  const cacheUs: number[] = [];
  for (let repeat = 0; repeat < workload.repeats; repeat += 1) {
    let start = performance.now();
    const session = await connect({
      socketDirectory,
      name: 'bench-setup',
      cudaLibrary: device.library,
    });
    connectUs.push(since(start));
    start = performance.now();
    await session.createCache({ ...workload.geometry, slots: workload.slots, maxTokens: 4096 });
    cacheUs.push(since(start));
    await session.close();
  }
  return [
    row('session set-up', 'connect', 'us', connectUs),
    row('session set-up', 'create a cache (addresses reserved)', 'us', cacheUs),
  ];
}
