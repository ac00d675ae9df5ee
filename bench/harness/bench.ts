/** The form of a bench, and the running of one: its parts, one after the other, into one result. */
import { join } from 'node:path';
import { KvspanError } from '../../proto/errors.js';
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

export interface BenchDefinition<Context, Alone = undefined> {
  readonly name: string;
  readonly description: string;
  /** In the order in which they run. */
  readonly parts: Readonly<Record<string, (context: Context, tick: Tick) => Promise<Row[]>>>;
  /** Why it cannot run here; null: it can. */
  readonly impossible?: (site: Site) => string | null;
  /** Of the private daemon, as `kvspan serve` takes them. */
  readonly serveArguments: (site: Site) => string[];
  /** What has to be measured before there is a daemon on the device, for the parts that will run. */
  readonly alone?: (site: Site, parts: readonly string[]) => Alone;
  readonly open: (rig: Rig, alone: Alone) => Promise<Context>;
  /** What it can be told beyond what every bench can: flag and meaning. */
  readonly options?: readonly (readonly [flag: string, meaning: string])[];
  /** The rows that are printed; the file has all. */
  readonly shown?: (row: Row) => boolean;
  /** What `open` has opened beside sessions; the sessions are still open then. */
  readonly close?: (context: Context) => void | Promise<void>;
}

/** A bench whose context is its own affair. */
export interface Bench {
  readonly name: string;
  readonly description: string;
  readonly parts: readonly string[];
  readonly options: readonly (readonly [flag: string, meaning: string])[];
  /**
   * Measures, prints, and writes its file, after each part anew: a run that is cut off keeps what it
   * had. A part that fails does not take the others' figures with it: it is told, and absent in the
   * file.
   */
  run(options: BenchOptions): Promise<BenchOutcome>;
}

export interface BenchOutcome {
  /** Why it cannot run here; null: it can. */
  readonly impossible: string | null;
  /** Of its parts, those that failed. */
  readonly failed: readonly string[];
}

export function defineBench<Context, Alone = undefined>(
  definition: BenchDefinition<Context, Alone>,
): Bench {
  const { name, description } = definition;
  const parts = Object.keys(definition.parts);
  return {
    name,
    description,
    parts,
    options: definition.options ?? [],
    async run(options) {
      const chosen = chosenParts(parts, options.only);
      makeResultDirectory(options.out);
      const site = findSite(options);
      const impossible = definition.impossible?.(site) ?? null;
      if (impossible !== null) return { impossible, failed: [] };
      return { impossible, failed: await measure(definition, site, chosen) };
    },
  };
}

/** Names the parts that failed. */
async function measure<Context, Alone>(
  definition: BenchDefinition<Context, Alone>,
  site: Site,
  chosen: readonly string[],
): Promise<string[]> {
  const result = header(definition.name, site);
  process.stdout.write(`${describeHeader(result)}\n`);
  // Who measures nothing beforehand has declared that there is nothing to be handed on.
  const alone = definition.alone?.(site, chosen) as Alone;
  const rig = await openRig(site, definition.serveArguments(site));
  const whole = Object.keys(definition.parts);
  const keep = (measured: ReadonlyMap<string, readonly Row[]>): string => {
    const absent = whole.filter(part => !measured.has(part));
    return writeResult(
      { ...result, rows: [...measured.values()].flat(), absent },
      site.options.out,
    );
  };
  const { measured, failures } = await runParts(definition, rig, alone, chosen, keep);
  if (measured.size > 0) {
    const rows = [...measured.values()].flat();
    process.stdout.write(`${renderRows(rows.filter(definition.shown ?? (() => true)))}\n`);
    process.stdout.write(`written to ${keep(measured)}\n`);
  }
  for (const [part, reason] of failures)
    process.stderr.write(`kvspan bench ${definition.name}: ${part} failed: ${reason}\n`);
  return [...failures.keys()];
}

async function runParts<Context, Alone>(
  definition: BenchDefinition<Context, Alone>,
  rig: Rig,
  alone: Alone,
  chosen: readonly string[],
  keep: (measured: ReadonlyMap<string, readonly Row[]>) => string,
): Promise<{ measured: Map<string, readonly Row[]>; failures: Map<string, string> }> {
  const measured = new Map<string, readonly Row[]>();
  const failures = new Map<string, string>();
  const progress = createProgress(definition.name, chosen.length);
  let context: Context | null = null;
  try {
    context = await definition.open(rig, alone);
    for (const part of chosen) {
      const tick = progress.begin(part);
      try {
        measured.set(part, (await definition.parts[part]?.(context, tick)) ?? []);
        keep(measured);
      } catch (error) {
        // A fault of the code keeps its trace; what a device or a daemon refuses is a sentence.
        const told = error instanceof KvspanError ? error.message : (error as Error).stack;
        failures.set(part, told ?? String(error));
      }
      progress.end(part);
    }
  } finally {
    progress.stop();
    try {
      if (context !== null) await definition.close?.(context);
    } finally {
      await rig.close();
    }
  }
  return { measured, failures };
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
    machine: { ...machine(), clocks: clocksOf(backend, device.uuid) },
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
