/** The growth bench: how long an engine waits for the memory of a prompt, and of a decode step. */
import { defineBench } from '../harness/bench.js';
import { UNMARKED } from '../harness/rig.js';
import { decodeSteps } from './decode.js';
import { prompts } from './prompt.js';
import type { Bed } from './ways.js';
import { growthWorkload } from './workload.js';

export const growthBench = defineBench<Bed>({
  name: 'growth',
  description: 'time to have memory ready: prompts, decode steps; kvspan, per-layer pages, blocks',
  serveArguments: ({ backend, options }) => {
    if (backend === 'cuda') return [];
    return ['--pool-bytes', options.smoke ? '1GiB' : '90%'];
  },
  async open(rig) {
    return {
      session: await rig.connect('bench-growth', UNMARKED),
      engine: await rig.connect('bench-growth-engine'),
      device: rig.deviceOptions,
      workload: growthWorkload(rig),
    };
  },
  parts: { prompt: prompts, decode: decodeSteps },
});
