/**
 * `kvspan bench [bench]`: measures, prints tables, writes JSON under `bench/results/`; without a
 * name, everything that this machine can.
 */
import { Command, CommanderError } from 'commander';
import { badField, KvspanError } from '../proto/errors.js';
import { allocatorBench } from './allocator/bench.js';
import { attentionBench } from './attention/bench.js';
import { elasticityBench } from './elasticity/bench.js';
import { main as elasticityProcess } from './elasticity/process.js';
import { PROCESS_COMMAND } from './elasticity/processes.js';
import { growthBench } from './growth/bench.js';
import type { Bench, BenchOutcome } from './harness/bench.js';
import {
  type BenchOptions,
  chosenParts,
  type Flags,
  OUT_DEFAULT,
  parseFlags,
} from './harness/options.js';
import { memoryBench } from './memory/bench.js';
import { type ReportOptions, writeReport } from './report/report.js';
import { servingLoopBench } from './serving-loop/bench.js';

/** Exit codes, as the demo's: it could not be done; bad arguments. */
const EXIT_FAULT = 1;
const EXIT_USAGE = 2;

/** In the order of the report. */
const benches: readonly Bench[] = [
  attentionBench,
  growthBench,
  memoryBench,
  servingLoopBench,
  allocatorBench,
  elasticityBench,
];

export async function main(argv: string[]): Promise<number> {
  const program = new Command('kvspan bench')
    .description('Measures kvspan beside its alternatives, in one run on one machine.')
    .showHelpAfterError(
      'kvspan bench --help lists the benches, kvspan bench <bench> --help its options',
    )
    .exitOverride();
  const names = benches.map(bench => bench.name);
  let code = 0;
  for (const bench of benches) {
    const command = program.command(bench.name).description(bench.description);
    for (const [flag, meaning] of bench.options) command.option(flag, meaning);
    addOptions(command, bench.parts).action(async (flags: Flags) => {
      code = await runOne(bench, parseFlags(flags));
    });
  }
  program.command(PROCESS_COMMAND, { hidden: true }).action(async () => {
    code = await elasticityProcess();
  });
  const all = program
    .command('all', { isDefault: true })
    .description('every bench that can run on this machine; this is what no name means')
    .argument('[bench]')
    .usage('[options]');
  addOptions(all, names).action(async (unknown: string | undefined, flags: Flags) => {
    // A name that is none falls to the command that needs none.
    if (unknown !== undefined)
      throw badField('name', unknown, [...names, 'all', 'report'].join(', '));
    code = await runAll(parseFlags(flags));
  });
  program
    .command('report')
    .description('the written page of the results that there are, with its plots')
    .option('--results <directory>', 'where the JSON lies', OUT_DEFAULT)
    .option('--out <file>', 'the page', 'bench/REPORT.md')
    .action(async (options: ReportOptions) => {
      for (const path of await writeReport(options)) process.stdout.write(`written to ${path}\n`);
    });
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    // Commander has printed why; help ends with 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    if (!(error instanceof KvspanError)) throw error;
    process.stderr.write(`kvspan bench: ${error.message}\n`);
    return error.code === 'INVALID_ARGUMENT' ? EXIT_USAGE : EXIT_FAULT;
  }
  return code;
}

function addOptions(command: Command, parts: readonly string[]): Command {
  return command
    .option('--backend <backend>', 'auto, host or cuda', 'auto')
    .option(
      '--cuda-library <file>',
      "path of libcuda (default: KVSPAN_CUDA_LIBRARY, else the system's)",
    )
    .option('--out <directory>', 'where the JSON goes', OUT_DEFAULT)
    .option('--smoke', 'small sizes: checks that the harness runs, not how fast', false)
    .option('--only <part...>', parts.join(', '))
    .option('--repeats <n>', 'runs behind each median (default: 20, or more)')
    .option(
      '--trace <file...>',
      'JSON lines or CSV; without one, requests are drawn (bench/trace/README.md)',
    )
    .option('--requests <n>', 'of each trace, from its beginning (default: as the device allows)');
}

/** A bench that was asked for and cannot run is a failure. */
async function runOne(bench: Bench, options: BenchOptions): Promise<number> {
  const { impossible, failed } = await bench.run(options);
  if (impossible !== null) process.stderr.write(`kvspan bench ${bench.name}: ${impossible}\n`);
  return impossible === null && failed.length === 0 ? 0 : EXIT_FAULT;
}

/** One that cannot run on this machine is only told. */
async function runAll(options: BenchOptions): Promise<number> {
  const names = chosenParts(
    benches.map(bench => bench.name),
    options.only,
  );
  let code = 0;
  for (const bench of benches.filter(({ name }) => names.includes(name))) {
    const { impossible, failed } = await runBesideOthers(bench, { ...options, only: null });
    if (impossible !== null)
      process.stdout.write(`${bench.name}: not measured here: ${impossible}\n`);
    if (failed.length > 0) code = EXIT_FAULT;
  }
  return code;
}

/** What a device or a daemon refuses ends this bench, and not those after it. */
async function runBesideOthers(bench: Bench, options: BenchOptions): Promise<BenchOutcome> {
  try {
    return await bench.run(options);
  } catch (error) {
    if (!(error instanceof KvspanError) || error.code === 'INVALID_ARGUMENT') throw error;
    process.stderr.write(`kvspan bench ${bench.name}: ${error.message}\n`);
    return { impossible: null, failed: bench.parts };
  }
}
