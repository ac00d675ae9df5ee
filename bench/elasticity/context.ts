/** What the parts of the bench share. */
import type { Rig } from '../harness/rig.js';
import type { NamedTrace } from '../trace/load.js';
import type { ServingProcesses } from './processes.js';
import type { Place } from './protocol.js';
import type { ElasticSizes } from './sizes.js';
import type { Operator, Tenant } from './tenants.js';

export interface Context {
  readonly rig: Rig;
  readonly sizes: ElasticSizes;
  /** As the daemon has it. */
  readonly poolBytes: number;
  readonly operator: Operator;
  readonly processes: ServingProcesses;
  readonly traces: readonly NamedTrace[];
}

export const placeOf = ({ rig }: Context, tenant: Tenant): Place => ({
  socketDirectory: rig.socketDirectory,
  tenant,
  device: rig.deviceOptions,
});
