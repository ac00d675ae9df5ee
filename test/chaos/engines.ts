/** Serving processes at work, and the daemon's books beside what they say they hold. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Admin } from '../support/admin.js';
import { childScript } from '../support/children.js';
import { until } from '../support/until.js';

/** What any of these tests waits for at most: a busy machine is slow, and nothing is measured here. */
export const LIMIT_MS = 25_000;

export interface EngineOrder {
  readonly directory: string;
  readonly name: string;
  readonly sessions: number;
}

export interface EngineReport {
  /** Of each session. */
  readonly passes: readonly number[];
  /** Rows that were not as they were written. */
  readonly wrong: number;
  readonly held: readonly number[];
  readonly reconnects: readonly number[];
  /** When it was last established again. */
  readonly adopted: readonly number[];
  readonly paused: boolean;
  readonly connected: boolean;
  /** No request waits for an answer. */
  readonly settled: boolean;
}

export class Engine {
  private constructor(readonly child: ChildProcess) {}

  static async start(order: EngineOrder): Promise<Engine> {
    const script = childScript('test/chaos/children/engine');
    const child = fork(script, [JSON.stringify(order)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    await once(child, 'message');
    return new Engine(child);
  }

  get pid(): number {
    return this.child.pid as number;
  }

  async report(): Promise<EngineReport> {
    const told = once(this.child, 'message');
    this.child.send('report');
    return (await told)[0] as EngineReport;
  }

  /** Waits until every session of it has done so many passes more. */
  async progress(passes: number): Promise<void> {
    const before = (await this.report()).passes;
    const done = async () =>
      (await this.report()).passes.every((now, index) => now >= (before[index] ?? 0) + passes);
    await until(`${passes} passes of process ${this.pid}`, done, LIMIT_MS);
  }

  /** Stops its work. Resolves with what it holds when nothing of it is under way any more. */
  async pause(): Promise<EngineReport> {
    this.child.send('pause');
    let report = await this.report();
    const still = async () => (report = await this.report()).paused;
    await until('it holds still', still, LIMIT_MS);
    return report;
  }

  async close(): Promise<void> {
    const gone = once(this.child, 'exit');
    this.child.send('close');
    await gone;
  }
}

/** Bytes by process, as the daemon has them on its accounts. */
export async function charged(admin: Admin): Promise<Map<number, bigint>> {
  const byPid = new Map<number, bigint>();
  for (const { pid, heldBytes } of await admin.sessions())
    byPid.set(pid, (byPid.get(pid) ?? 0n) + heldBytes);
  return byPid;
}

/**
 * Stops the work of all, and waits until the books are, byte for byte, what they say they hold. They may
 * still give back what others were asking for when they stopped.
 */
export async function pauseAndCompare(
  admin: Admin,
  engines: readonly Engine[],
): Promise<EngineReport[]> {
  await Promise.all(engines.map(engine => engine.pause()));
  let reports: EngineReport[] = [];
  const exact = async () => {
    reports = await Promise.all(engines.map(engine => engine.report()));
    const [books, { usedBytes }] = [await charged(admin), await admin.pool()];
    const held = reports.map(report => sum(report.held));
    const all = held.reduce((total, bytes) => total + bytes, 0n);
    const still = reports.every(({ settled }) => settled);
    const equal = engines.every(({ pid }, index) => (books.get(pid) ?? 0n) === held[index]);
    return still && equal && usedBytes === all;
  };
  await until('the books are exact', exact, LIMIT_MS);
  return reports;
}

/** Waits for so many looks more at the device; what they then say. */
export async function afterLooks(admin: Admin, looks: number) {
  const first = (await admin.deviceCheck()).looks;
  const done = async () => (await admin.deviceCheck()).looks >= first + looks;
  await until('more looks', done, LIMIT_MS);
  return admin.deviceCheck();
}

export const sum = (all: readonly number[]): bigint =>
  all.reduce((total, one) => total + BigInt(one), 0n);
