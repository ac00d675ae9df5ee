/** One run of the demo, from finding a daemon to counting what is left behind. */
import { connect, type Session } from '../../client/typescript/index.js';
import { drawTrace } from '../trace/synthetic.js';
import { readTrace } from '../trace/read.js';
import type { TraceRequest } from '../trace/types.js';
import { type DemoDaemon, findDaemon } from './daemon.js';
import type { DemoGeometry } from './geometry.js';
import { LeakWatch } from './leaks.js';
import { replay } from './replay.js';
import type { DemoReport } from './report.js';

export interface DemoOptions {
  /** Null: requests are drawn from the documented distribution. */
  readonly traceFile: string | null;
  readonly requests: number;
  readonly geometry: DemoGeometry;
  readonly backend: 'auto' | 'host' | 'cuda';
  /** Of a running daemon; null: the default place, and a private daemon if none answers there. */
  readonly socketDirectory: string | null;
  /** Path of libcuda, in this process and in a private daemon; null: the system's. */
  readonly cudaLibrary: string | null;
  /** Arguments of `kvspan serve` for a private daemon. */
  readonly serveArguments: readonly string[];
  readonly seed: number;
  /** Requests that may be live at once. */
  readonly batchMax: number;
  readonly progress: boolean;
}

export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  const requests = await loadRequests(options);
  const daemon = await findDaemon(options);
  try {
    return await runAgainst(daemon, options, requests);
  } finally {
    await daemon.stop();
  }
}

export async function loadRequests(
  options: Pick<DemoOptions, 'traceFile' | 'requests' | 'seed'>,
): Promise<TraceRequest[]> {
  if (options.traceFile === null) return drawTrace(options.requests, options.seed);
  return readTrace(options.traceFile, options.requests);
}

async function runAgainst(
  daemon: DemoDaemon,
  options: DemoOptions,
  requests: TraceRequest[],
): Promise<DemoReport> {
  // What is opened once for a process (the addon, the device, gRPC) is opened before the baseline.
  await (await connectTo(daemon, options)).close();
  const watch = new LeakWatch(daemon);
  try {
    await watch.begin();
    const session = await connectTo(daemon, options);
    try {
      const report = await replay(session, options, requests);
      await session.close();
      return { ...report, leaks: await watch.find(session.id) };
    } finally {
      await session.close();
    }
  } finally {
    watch.close();
  }
}

function connectTo(daemon: DemoDaemon, { cudaLibrary }: DemoOptions): Promise<Session> {
  return connect({ socketDirectory: daemon.socketDirectory, name: 'kvspan-demo', cudaLibrary });
}
