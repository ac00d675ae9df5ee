/** What memory costs a decode step: token by token, on average and at worst. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Tick } from '../harness/progress.js';
import type { Row } from '../report/results.js';
import { row } from '../report/statistics.js';
import { type Bed, BlockWay, LayeredAheadWay, LayeredWay, SpanWay, type Way } from './ways.js';
import { type DecodeWorkload, firstLengths } from './workload.js';

const US_PER_MS = 1000;

const openers: readonly ((bed: Bed) => Way)[] = [
  bed => new SpanWay(bed, 'geometric', true),
  bed => new SpanWay(bed, 'geometric', false),
  bed => new SpanWay(bed, 'linear', false),
  bed => new LayeredWay(bed),
  bed => new LayeredAheadWay(bed),
  bed => new BlockWay(bed),
];

const phases = ['staggered', 'in phase'] as const;

export async function decodeSteps(bed: Bed, tick: Tick): Promise<Row[]> {
  const { batch, steps } = bed.workload.decode;
  const rows: Row[] = [];
  for (const phase of phases) {
    const lengths = firstLengths(bed.workload, phase);
    const name = `decode step, batch ${batch}, ${steps} steps from ${lengths[0]} tokens, ${phase}`;
    for (const open of openers) {
      const way = open(bed);
      const runs = await repeat(way, lengths, bed);
      rows.push(
        row(
          name,
          `${way.name}: mean of a run`,
          'us',
          runs.map(run => run.mean),
        ),
        row(
          name,
          `${way.name}: worst of a run`,
          'us',
          runs.map(run => run.worst),
        ),
      );
      tick(rows.length / (2 * openers.length * phases.length));
    }
  }
  return rows;
}

async function repeat(way: Way, lengths: readonly number[], { workload }: Bed): Promise<Run[]> {
  const runs: Run[] = [];
  try {
    for (let i = 0; i <= workload.repeats; i += 1)
      runs.push(await run(way, lengths, workload.decode));
  } finally {
    await way.close();
  }
  return runs.slice(1);
}

interface Run {
  readonly mean: number;
  readonly worst: number;
}

/** Microseconds that the engine's thread waits in its steps. */
async function run(
  way: Way,
  first: readonly number[],
  { steps, prefillMs, passMs }: DecodeWorkload,
): Promise<Run> {
  await way.begin(first);
  await sleep(prefillMs);
  const lengths = Int32Array.from(first);
  let sum = 0;
  let worst = 0;
  for (let step = 0; step < steps; step += 1) {
    for (let slot = 0; slot < lengths.length; slot += 1) (lengths[slot] as number)++;
    const start = performance.now();
    const busy = way.step(lengths);
    const background = typeof busy === 'boolean' ? busy : await busy;
    const us = (performance.now() - start) * US_PER_MS;
    sum += us;
    worst = Math.max(worst, us);
    // The forward pass: only where it gives somebody time to work ahead.
    if (background) await sleep(passMs);
  }
  await way.end();
  return { mean: sum / steps, worst };
}
