/** `kvspan bench [allocator]`: runs benchmarks, prints tables, writes JSON under `bench/results/`. */
import { Command } from 'commander';
import { defaultCudaLibrary } from '../proto/paths.js';
import { runAllocatorBench } from './allocator/bench.js';

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
    if (error instanceof Error && 'exitCode' in error && typeof error.exitCode === 'number')
      return error.exitCode;
    throw error;
  }
  return code;
}
