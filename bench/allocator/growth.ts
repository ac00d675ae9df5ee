/**
 * One slot grows to a size, from extents that are in the magazine already, geometric and linear,
 * beside the raw map and set-access calls on extents of the same sizes.
 */
import type { Session } from '../../client/typescript/index.js';
import type { DeviceOptions } from '../../native/index.js';
import type { Row } from '../report/results.js';
import { row } from '../report/statistics.js';
import { growthFloor, withRawDevice } from './floor.js';
import { growthExtents, orderCounts } from './plan.js';
import { tokensIn, type Workload } from './workload.js';

const MS_PER_US = 1e-3;
const EXTENTS_PER_GRANT = 1024;

export async function growth(
  session: Session,
  device: DeviceOptions,
  workload: Workload,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const size of workload.growthBytes) {
    const medians = new Map<string, number>();
    for (const way of ['geometric', 'linear'] as const) {
      const extents = growthExtents(size, way);
      // Linear growth of a large slot takes seconds a run: fewer repetitions say enough.
      const repeats = extents.length > 1000 ? Math.min(3, workload.repeats) : workload.repeats;
      const floor: number[] = [];
      const ours: number[] = [];
      for (let repeat = 0; repeat < repeats; repeat += 1) {
        floor.push(withRawDevice(device, raw => growthFloor(raw, extents).grow) * MS_PER_US);
        ours.push(await growOnce(session, workload, way, extents));
      }
      const name = `growth of one slot to ${size / 2 ** 20} MiB`;
      const variant = `${way} (${extents.length} extents)`;
      rows.push(
        row(name, `${variant}: raw map + access`, 'ms', floor),
        row(name, `${variant}: kvspan step`, 'ms', ours),
      );
      rows.push(
        row(
          name,
          `${variant}: ratio`,
          'ratio',
          ours.map((ms, i) => ms / (floor[i] as number)),
        ),
      );
      medians.set(way, (rows.at(-2) as Row).median);
    }
    const gain = (medians.get('linear') as number) / (medians.get('geometric') as number);
    rows.push(
      row(`growth of one slot to ${size / 2 ** 20} MiB`, 'linear / geometric', 'ratio', [gain]),
    );
  }
  return rows;
}

/** Milliseconds in `step` while one slot grows extent by extent; the magazine holds them all. */
async function growOnce(
  session: Session,
  workload: Workload,
  way: 'geometric' | 'linear',
  extents: readonly number[],
) {
  const total = extents.reduce((sum, extent) => sum + extent, 0);
  const cache = await session.createCache({
    ...workload.geometry,
    slots: 1,
    maxTokens: tokensIn(total, workload),
    lookaheadTokens: 0,
    growth: way,
    name: 'bench-growth',
  });
  for (let first = 0; first < extents.length; first += EXTENTS_PER_GRANT) {
    await session.acquire(orderCounts(extents.slice(first, first + EXTENTS_PER_GRANT)), {
      waitMs: 10_000,
    });
  }
  const lengths = new Int32Array(1);
  const slot = await cache.allocate(1);
  let ms = 0;
  let mapped = extents[0] as number;
  for (const extent of extents.slice(1)) {
    // One token into the next extent: exactly one extent is due.
    lengths[slot] = tokensIn(mapped, workload) + 1;
    const start = performance.now();
    cache.tryStep(lengths);
    ms += performance.now() - start;
    mapped += extent;
  }
  const { mappedBytes } = cache.stats();
  if (mappedBytes !== BigInt(total))
    throw new Error(`growth bench: ${mappedBytes} bytes mapped, expected ${total}`);
  await cache.close();
  await session.giveBack(2n ** 62n);
  return ms;
}
