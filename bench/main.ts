/** `kvspan bench [allocator]`: runs benchmarks, prints tables, writes JSON under `bench/results/`. */
import { Command, CommanderError } from 'commander';
import { KvspanError } from '../proto/errors.js';
import { defaultCudaLibrary } from '../proto/paths.js';
import { runAllocatorBench } from './allocator/bench.js';

/** Exit codes, as the demo's: it could not be done; bad arguments. */
const EXIT_FAULT = 1;
const EXIT_USAGE = 2;

interface Flags {
  readonly backend: string;
  readonly cudaLibrary?: string;
  readonly out: string;
  readonly smoke: boolean;
  readonly only?: string[];
}

export async function main(argv: string[]): Promise<number> {
  const program = new Command('kvspan bench')
    .description('Measures kvspan against the raw calls of the device, in one run.')
    .showHelpAfterError('kvspan bench allocator --help lists the options')
    .exitOverride();
  let code = 0;
  program
    .command('allocator', { isDefault: true })
    .description('step, grants, growth, session set-up, and the daemon itself')
    .option('--backend <backend>', 'auto, host or cuda', 'auto')
    .option(
      '--cuda-library <file>',
      "path of libcuda (default: KVSPAN_CUDA_LIBRARY, else the system's)",
    )
    .option('--out <directory>', 'where the JSON goes', 'bench/results')
    .option('--smoke', 'small sizes: checks that the harness runs, not how fast', false)
    .option('--only <case...>', 'step, grant, growth, setup, resident')
    .action(async (flags: Flags) => {
      code = await runAllocatorBench({
        ...flags,
        cudaLibrary: flags.cudaLibrary ?? defaultCudaLibrary(),
      });
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
