/** The daemon's own cost: resident memory and open files, at rest and with many extents granted. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Session } from '../../client/typescript/index.js';
import type { Row } from '../report/results.js';
import { row } from '../report/statistics.js';
import { orderCounts, PAGE_BYTES } from './plan.js';
import type { Workload } from './workload.js';

const EXTENTS_PER_GRANT = 1000;

export function residentMb(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (line === null) throw new Error(`no VmRSS in /proc/${pid}/status`);
  return Number(line[1]) / 1024;
}

export const openFiles = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

export async function resident(
  session: Session,
  daemonPid: number,
  workload: Workload,
): Promise<Row[]> {
  const name = 'the daemon itself';
  const rows = [
    row(name, 'resident, at rest', 'MB', [residentMb(daemonPid)]),
    row(name, 'open files, at rest', 'count', [openFiles(daemonPid)]),
  ];
  const size = workload.residentExtents;
  for (let granted = 0; granted < size; granted += EXTENTS_PER_GRANT) {
    const count = Math.min(EXTENTS_PER_GRANT, size - granted);
    await session.acquire(orderCounts(Array.from({ length: count }, () => PAGE_BYTES)), {
      waitMs: 30_000,
    });
  }
  rows.push(
    row(name, `resident, ${size} extents granted`, 'MB', [residentMb(daemonPid)]),
    row(name, `open files, ${size} extents granted`, 'count', [openFiles(daemonPid)]),
  );
  await session.giveBack(2n ** 62n);
  return rows;
}
