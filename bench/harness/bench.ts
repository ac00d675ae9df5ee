/** The form of a bench, and the running of one: its parts, one after the other, into one result. */
import { join } from 'node:path';
import {
  type BenchResult,
  commitOf,
  machine,
  makeResultDirectory,
  type Row,
  writeResult,
} from '../report/results.js';
import { renderRows } from '../report/table.js';
import { clocksOf } from './clocks.js';
import { type BenchOptions, chosenParts } from './options.js';
import { createProgress, type Tick } from './progress.js';
import { findSite, openRig, type Rig, type Site } from './rig.js';

export interface BenchDefinition<Context> {
  readonly name: string;
  readonly description: string;
  /** In the order in which they run. */
  readonly parts: Readonly<Record<string, (context: Context, tick: Tick) => Promise<Row[]>>>;
  /** Why it cannot run here; null: it can. */
  readonly impossible?: (site: Site) => string | null;
  /** Of the private daemon, as `kvspan serve` takes them. */
  readonly serveArguments: (site: Site) => string[];
  readonly open: (rig: Rig) => Promise<Context>;
}

/** A bench whose context is its own affair. */
export interface Bench {
  readonly name: string;
  readonly description: string;
  readonly parts: readonly string[];
  /** Measures, prints, and writes its file. The reason if it cannot run here; null: it has run. */
  run(options: BenchOptions): Promise<string | null>;
}

export function defineBench<Context>(definition: BenchDefinition<Context>): Bench {
  const { name, description } = definition;
  const parts = Object.keys(definition.parts);
  return {
    name,
    description,
    parts,
    async run(options) {
      const chosen = chosenParts(parts, options.only);
      makeResultDirectory(options.out);
      const site = findSite(options);
      const reason = definition.impossible?.(site) ?? null;
      if (reason === null) await measure(definition, site, chosen);
      return reason;
    },
  };
}

async function measure<Context>(
  definition: BenchDefinition<Context>,
  site: Site,
  chosen: readonly string[],
): Promise<void> {
  const result = header(definition.name, site);
  process.stdout.write(`${describeHeader(result)}\n`);
  const rig = await openRig(site, definition.serveArguments(site));
  const progress = createProgress(definition.name, chosen.length);
  const rows: Row[] = [];
  try {
    const context = await definition.open(rig);
    for (const part of chosen) {
      const tick = progress.begin(part);
      rows.push(...((await definition.parts[part]?.(context, tick)) ?? []));
      progress.end(part);
    }
  } finally {
    progress.stop();
    await rig.close();
  }
  process.stdout.write(`${renderRows(rows)}\n`);
  process.stdout.write(`written to ${writeResult({ ...result, rows }, site.options.out)}\n`);
}

function header(name: string, site: Site): BenchResult {
  const { device, backend, options } = site;
  return {
    bench: options.smoke ? `${name}-smoke` : name,
    device: device.name,
    backend,
    driver: device.driver,
    commit: commitOf(join(import.meta.dirname, '../..')),
    date: new Date().toISOString(),
    machine: { ...machine(), clocks: clocksOf(backend) },
    rows: [],
  };
}

/** The machine, before any figure of it. */
export function describeHeader(result: BenchResult): string {
  const { cpu, cores, node, clocks } = result.machine;
  const parts = [
    `${result.bench}: ${result.device}, driver ${result.driver}`,
    ...(clocks ? [clocks] : []),
    `${cpu}, ${cores} cores`,
    `Node ${node}`,
    result.commit,
  ];
  return parts.join('; ');
}
