/**
 * The allocator bench: what kvspan costs, beside the raw calls of the device in the same run. A
 * private daemon, this process as its client.
 */
import { join } from 'node:path';
import { connect, type Session } from '../../client/typescript/index.js';
import { type DeviceOptions, loadNative } from '../../native/index.js';
import { badField } from '../../proto/errors.js';
import { startDaemon } from '../demo/daemon.js';
import {
  type BenchResult,
  commitOf,
  machine,
  makeResultDirectory,
  type Row,
  writeResult,
} from '../report/results.js';
import { renderRows } from '../report/table.js';
import { type ColdFloors, coldFloors, coldGrant, giveBack, sessionSetUp } from './grant.js';
import { growth } from './growth.js';
import { resident } from './resident.js';
import { stepAhead, stepFromMagazine, stepNothing, stepRefill } from './step.js';
import { type Workload, workloadFor } from './workload.js';

export interface AllocatorBenchOptions {
  readonly backend: string;
  /** Path of libcuda, in this process and in the daemon; null: the system's. */
  readonly cudaLibrary: string | null;
  readonly out: string;
  readonly smoke: boolean;
  readonly only?: readonly string[];
}

interface Context {
  /** With no marks on its magazine: nothing comes or goes in the background. */
  readonly session: Session;
  /** With the marks of an engine, whose mapper works ahead. */
  readonly engine: Session;
  readonly socketDirectory: string;
  readonly daemonPid: number;
  readonly device: DeviceOptions;
  readonly workload: Workload;
  readonly alone: ColdFloors;
}

/** In the order in which they run: the daemon is looked at before it has done anything. */
const parts: Readonly<Record<string, (context: Context) => Promise<Row[]>>> = {
  resident: ({ session, daemonPid, workload }) => resident(session, daemonPid, workload),
  step: async ({ session, engine, workload }) => [
    ...(await stepNothing(engine, workload)),
    ...(await stepAhead(engine, workload)),
    ...(await stepFromMagazine(session, workload)),
    ...(await stepRefill(session, workload)),
  ],
  grant: async ({ session, device, workload, alone }) => [
    ...(await coldGrant(session, device, workload, alone)),
    ...(await giveBack(session, workload)),
  ],
  setup: ({ socketDirectory, device, workload }) => sessionSetUp(socketDirectory, device, workload),
  growth: ({ session, device, workload }) => growth(session, device, workload),
};

function chosenParts(only: readonly string[] | undefined): string[] {
  const names = Object.keys(parts);
  const unknown = only?.find(name => !names.includes(name));
  if (unknown !== undefined) throw badField('only', unknown, names.join(', '));
  return only === undefined ? names : names.filter(name => only.includes(name));
}

function backendOption(backend: string): 'auto' | 'host' | 'cuda' {
  if (backend === 'auto' || backend === 'host' || backend === 'cuda') return backend;
  throw badField('backend', backend, 'auto, host or cuda');
}

export async function runAllocatorBench(options: AllocatorBenchOptions): Promise<number> {
  const names = chosenParts(options.only);
  const backend = backendOption(options.backend);
  const { cudaLibrary } = options;
  makeResultDirectory(options.out);
  // The private daemon reads the same variable.
  const ordinal = Number(process.env['KVSPAN_ORDINAL'] ?? 0);
  const onGpu = backend === 'cuda' || (backend === 'auto' && hasGpu(cudaLibrary, ordinal));
  const used: DeviceOptions = {
    backend: onGpu ? 'cuda' : 'host',
    ordinal: onGpu ? ordinal : 0,
    library: cudaLibrary,
  };
  const workload = workloadFor(used.backend, options.smoke);
  const alone = names.includes('grant') ? coldFloors(used, workload) : new Map();
  const daemon = await startDaemon({
    backend: used.backend,
    cudaLibrary,
    serveArguments: poolArguments(used.backend, options.smoke),
  });
  const { socketDirectory } = daemon;
  const engine = await connect({ socketDirectory, name: 'bench-engine', cudaLibrary });
  const marks = { lowWaterBytes: 0n, highWaterBytes: 0n };
  const session = await connect({ socketDirectory, name: 'bench', cudaLibrary, ...marks });
  const rows: Row[] = [];
  try {
    const { device, backend: serverBackend } = session.server;
    const context: Context = {
      session,
      engine,
      socketDirectory,
      daemonPid: daemon.pid ?? 0,
      device: used,
      workload,
      alone,
    };
    for (const name of names) {
      const start = performance.now();
      process.stderr.write(`bench allocator: ${name} ...`);
      rows.push(...((await parts[name]?.(context)) ?? []));
      process.stderr.write(` ${((performance.now() - start) / 1000).toFixed(1)} s\n`);
    }
    const result: BenchResult = {
      bench: options.smoke ? 'allocator-smoke' : 'allocator',
      device: device.name,
      backend: serverBackend,
      driver: device.driver,
      commit: commitOf(join(import.meta.dirname, '..')),
      date: new Date().toISOString(),
      machine: machine(),
      rows,
    };
    const { cpu, cores, node } = result.machine;
    process.stdout.write(
      `${device.name}, driver ${device.driver}; ${cpu}, ${cores} cores; Node ${node}; ${result.commit}\n`,
    );
    process.stdout.write(`${renderRows(rows)}\n`);
    process.stdout.write(`written to ${writeResult(result, options.out)}\n`);
  } finally {
    await Promise.all([session.close(), engine.close()]);
    await daemon.stop();
  }
  return 0;
}

/** The host backend's default pool is small; the bench needs room for 10,000 extents of addresses. */
function poolArguments(backend: 'host' | 'cuda', smoke: boolean): string[] {
  if (smoke) return ['--pool-bytes', '2GiB'];
  return backend === 'cuda' ? [] : ['--pool-bytes', '90%'];
}

/** As the daemon would choose: a GPU whose memory is all in use is none. */
function hasGpu(library: string | null, ordinal: number): boolean {
  try {
    const device = loadNative().openDevice({ backend: 'cuda', ordinal, library });
    const { freeBytes, granularityBytes } = device.describe();
    device.close();
    return freeBytes >= granularityBytes;
  } catch {
    return false;
  }
}
