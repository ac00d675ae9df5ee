/**
 * The allocator bench: what kvspan costs, beside the raw calls of the device in the same run. A
 * private daemon, this process as its client.
 */
import type { Session } from '../../client/typescript/index.js';
import { defineBench } from '../harness/bench.js';
import { type Rig, type Site, UNMARKED } from '../harness/rig.js';
import { type ColdFloors, coldFloors, coldGrant, giveBack, sessionSetUp } from './grant.js';
import { growth } from './growth.js';
import { resident } from './resident.js';
import { stepAhead, stepFromMagazine, stepNothing, stepRefill } from './step.js';
import { type Workload, workloadFor } from './workload.js';

interface Context {
  readonly rig: Rig;
  /** With no marks on its magazine: nothing comes or goes in the background. */
  readonly session: Session;
  /** With the marks of an engine, whose mapper works ahead. */
  readonly engine: Session;
  readonly workload: Workload;
  readonly alone: ColdFloors;
}

/** The host backend's default pool is small; the bench needs room for 10,000 extents of addresses. */
function serveArguments({ backend, options }: Site): string[] {
  if (options.smoke) return ['--pool-bytes', '2GiB'];
  return backend === 'cuda' ? [] : ['--pool-bytes', '90%'];
}

export const allocatorBench = defineBench<Context, ColdFloors>({
  name: 'allocator',
  description: 'step, grants, growth, session set-up, and the daemon itself',
  serveArguments,
  // The daemon makes the driver's calls cheaper for everybody.
  alone: ({ backend, options, deviceOptions }, chosen) =>
    chosen.includes('grant')
      ? coldFloors(deviceOptions, workloadFor(backend, options.smoke, options.repeats))
      : new Map(),
  async open(rig, alone) {
    const { backend, options } = rig;
    return {
      rig,
      engine: await rig.connect('bench-engine'),
      session: await rig.connect('bench', UNMARKED),
      workload: workloadFor(backend, options.smoke, options.repeats),
      alone,
    };
  },
  // The daemon is looked at before it has done anything.
  parts: {
    resident: ({ session, rig, workload }) => resident(session, rig.daemonPid, workload),
    step: async ({ session, engine, workload }) => [
      ...(await stepNothing(engine, workload)),
      ...(await stepAhead(engine, workload)),
      ...(await stepFromMagazine(session, workload)),
      ...(await stepRefill(session, workload)),
    ],
    grant: async ({ session, rig, workload, alone }) => [
      ...(await coldGrant(session, rig.deviceOptions, workload, alone)),
      ...(await giveBack(session, workload)),
    ],
    setup: ({ rig, workload }) => sessionSetUp(rig.socketDirectory, rig.deviceOptions, workload),
    growth: ({ session, rig, workload }) => growth(session, rig.deviceOptions, workload),
  },
});
