/** The books held against the device: what the log and the admin service say of it. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { LOOKS } from '../../daemon/core/device-check.js';
import type { DeviceUsage, UsageMeter } from '../../daemon/ports/device.js';
import type { DeviceCheck__Output } from '../../proto/generated/kvspan/v1/DeviceCheck.js';
import { call, PAGE, scriptedDaemon, type ScriptedDaemon } from './harness.js';
import { openSession, until } from './session-calls.js';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const POOL_PAGES = 64n;

let daemon: ScriptedDaemon;
afterEach(() => daemon.stop());

/** A device whose answers the test decides. */
class ScriptedMeter implements UsageMeter {
  asked: number[][] = [];
  answer: () => Promise<DeviceUsage> = () => Promise.resolve(gpu(0n));

  read(processes: Int32Array): Promise<DeviceUsage> {
    this.asked.push([...processes]);
    return this.answer();
  }
}

/** A GPU on which so many pages are used by anybody, and all others free. */
const gpu = (usedPages: bigint, freePages = POOL_PAGES): DeviceUsage => ({
  usedBytes: usedPages * PAGE,
  freeBytes: freePages * PAGE,
  heldBytes: null,
});

async function start(answer: ScriptedMeter['answer'], deviceCheckMs = 2) {
  const meter = new ScriptedMeter();
  meter.answer = answer;
  daemon = await scriptedDaemon({ deviceCheckMs }, POOL_PAGES, meter);
  return meter;
}

async function check(): Promise<DeviceCheck__Output> {
  const pool = (await call(daemon.clients.admin, 'getPool', {})) as {
    deviceCheck: DeviceCheck__Output;
  };
  return pool.deviceCheck;
}

/** After so many looks more. */
async function looked(times: number): Promise<DeviceCheck__Output> {
  const first = Number((await check()).lookCount);
  await until(async () => Number((await check()).lookCount) >= first + times);
  return check();
}

const told = (what: RegExp) =>
  daemon.lines
    .map(line => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => what.test(String(msg)));

describe('the daemon', () => {
  test('reports what is used, granted and held, and that they agree', async () => {
    const meter = await start(() => Promise.resolve(gpu(5n)));
    const client = openSession(daemon);
    await client.acquire({ grantId: '1', orderCounts: [3] });
    const found = await looked(LOOKS + 1);
    expect(found).toMatchObject({
      unavailable: '',
      deviceUsedBytes: String(5n * PAGE),
      deviceFreeBytes: String(POOL_PAGES * PAGE),
      grantedBytes: String(3n * PAGE),
      heldBytes: String(3n * PAGE),
      foreignBytes: String(2n * PAGE),
      missingBytes: '0',
      unchargedBytes: '0',
      shortBytes: '0',
      differences: [],
    });
    expect(meter.asked.at(-1)).toEqual([process.pid]);
    expect(told(/part|agree/)).toEqual([]);
  });

  test('says once when they part, with the numbers, and once when they agree again', async () => {
    let used = 1n;
    await start(() => Promise.resolve(gpu(used)));
    const client = openSession(daemon);
    await client.acquire({ grantId: '1', orderCounts: [3] });
    await until(async () => (await check()).missingBytes === String(2n * PAGE));
    await looked(LOOKS);
    expect(told(/part/)).toMatchObject([
      {
        level: 'warn',
        bytes: String(3n * PAGE),
        deviceBytes: String(PAGE),
        reason: `${2n * PAGE} bytes are charged that the device does not have`,
      },
    ]);
    used = 3n;
    await until(async () => (await check()).missingBytes === '0');
    await looked(LOOKS);
    expect(told(/agree again/)).toHaveLength(1);
  });

  test('says when others have taken what its pool promises', async () => {
    await start(() => Promise.resolve(gpu(40n, 20n)));
    await until(async () => (await check()).shortBytes === String(44n * PAGE));
    expect(told(/part/)).toMatchObject([{ reason: expect.stringContaining('others have them') }]);
  });

  test('names the process that has more than it is charged, where the device knows', async () => {
    await start(() =>
      Promise.resolve({ ...gpu(0n), heldBytes: daemon.ledger.sessions().map(() => 7n * PAGE) }),
    );
    const client = openSession(daemon);
    await client.acquire({ grantId: '1', orderCounts: [3] });
    await until(async () => (await check()).unchargedBytes === String(4n * PAGE));
    expect((await check()).differences).toEqual([
      { pid: process.pid, chargedBytes: String(3n * PAGE), foundBytes: String(7n * PAGE) },
    ]);
  });
});

describe('a device that cannot be asked', () => {
  test('is said to be so, once, and serving goes on; later it may be asked', async () => {
    let works = false;
    await start(() => (works ? Promise.resolve(gpu(0n)) : Promise.reject(new Error('no NVML'))));
    await until(async () => (await check()).unavailable === 'no NVML');
    const client = openSession(daemon);
    await client.acquire({ grantId: '1', orderCounts: [3] });
    expect(await check()).toMatchObject({ lookCount: '0', deviceUsedBytes: '0' });
    expect(told(/not compared/)).toMatchObject([{ level: 'info', reason: 'no NVML' }]);
    works = true;
    await looked(1);
    expect((await check()).unavailable).toBe('');
  });

  test('and does not answer is asked no second time meanwhile', async () => {
    const unanswered: ((usage: DeviceUsage) => void)[] = [];
    const meter = await start(() => new Promise(resolve => void unanswered.push(resolve)));
    await until(async () => /has not answered for/.test((await check()).unavailable));
    expect(meter.asked).toHaveLength(1);
    unanswered[0]?.(gpu(0n));
    await until(() => meter.asked.length === 2);
    unanswered[1]?.(gpu(0n));
  });

  test('or is not to be, is said to be so', async () => {
    const meter = await start(() => Promise.resolve(gpu(0n)), 0);
    expect(await check()).toMatchObject({
      lookCount: '0',
      unavailable: 'the books are not compared with the device',
    });
    expect(meter.asked).toEqual([]);
  });
});
