/** `kvspan demo`: the command line of the demo. */
import { constants } from 'node:fs';
import { access, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Command, Option } from 'commander';
import { badField, KvspanError } from '../../proto/errors.js';
import { defaultCudaLibrary } from '../../proto/paths.js';
import { defaultDistribution } from '../trace/synthetic.js';
import { parseGeometry, presets } from './geometry.js';
import { faults, rowsOf } from './report.js';
import { type DemoOptions, runDemo } from './run.js';
import { renderReport } from './table.js';

const REQUESTS_DEFAULT = 300;
const REQUESTS_SHORT = 60;
const REQUESTS_MAX = 10_000_000;
const BATCH_DEFAULT = 32;
const BATCH_MAX = 4096;
const SEED_DEFAULT = 1;

/** Exit codes: the run is good; it found a fault; it could not be done. */
const EXIT_GOOD = 0;
const EXIT_FAULT = 1;
const EXIT_USAGE = 2;

interface Flags {
  readonly trace?: string;
  readonly requests?: string;
  readonly geometry?: string;
  readonly backend: DemoOptions['backend'];
  readonly socketDirectory?: string;
  readonly poolBytes?: string;
  readonly cudaLibrary?: string;
  readonly seed: string;
  readonly batch: string;
  readonly short?: boolean;
  readonly json?: string;
  readonly progress: boolean;
}

function createCommand(): Command {
  const { prompt, answer } = defaultDistribution;
  return new Command('kvspan demo')
    .description(
      'Replays requests as a continuous-batching engine would, against a daemon, and checks every byte. ' +
        'Exits with 1 if a token, an answer or a leak is wrong.',
    )
    .option(
      '--trace <file>',
      'JSON lines or CSV; without one, requests are drawn: log-normal prompts ' +
        `(median ${prompt.median} tokens) and answers (median ${answer.median}), Poisson arrivals`,
    )
    .option('--requests <n>', `how many (default: ${REQUESTS_DEFAULT}, or all of a trace)`)
    .option(
      '--geometry <shape>',
      `${Object.keys(presets).join(', ')}, or layers=..,kvHeads=..,headDim=..,` +
        'queryHeads=..,dtype=bf16|fp32,layout=token-major|layer-major,maxTokens=..; ' +
        'default: small, with a trace tiny',
    )
    .addOption(
      new Option('--backend <name>', 'of the daemon')
        .choices(['auto', 'host', 'cuda'])
        .default('auto'),
    )
    .option(
      '--socket-directory <dir>',
      'of a running daemon (default: the usual one, or a private daemon)',
    )
    .option('--pool-bytes <size>', 'pool of a private daemon, as `kvspan serve --pool-bytes`')
    .option(
      '--cuda-library <file>',
      "path of libcuda, here and for a private daemon (default: KVSPAN_CUDA_LIBRARY, else the system's)",
    )
    .option('--seed <n>', 'of everything drawn', String(SEED_DEFAULT))
    .option('--batch <n>', 'requests live at once', String(BATCH_DEFAULT))
    .option('--short', `a quick version: ${REQUESTS_SHORT} requests`)
    .option('--json <file>', 'writes the report there too')
    .option('--no-progress', 'no progress bar')
    .showHelpAfterError('kvspan demo --help lists the options')
    .exitOverride();
}

export async function main(argv: string[]): Promise<number> {
  const command = createCommand();
  try {
    command.parse(argv, { from: 'user' });
  } catch (error) {
    return (error as { exitCode?: number }).exitCode === 0 ? EXIT_GOOD : EXIT_USAGE;
  }
  try {
    return await run(command.opts<Flags>());
  } catch (error) {
    if (!(error instanceof KvspanError)) throw error;
    process.stderr.write(`kvspan demo: ${error.message}\n`);
    return error.code === 'INVALID_ARGUMENT' ? EXIT_USAGE : EXIT_FAULT;
  }
}

async function run(flags: Flags): Promise<number> {
  const options = parseFlags(flags);
  const { json } = flags;
  // Before the run: nobody wants to hear of a wrong path when it is over.
  if (json !== undefined) await jsonFile(json, access(dirname(json), constants.W_OK));
  const report = await runDemo(options);
  process.stdout.write(`${renderReport(report)}\n`);
  if (json !== undefined) {
    const result = { bench: 'demo', ...report, rows: rowsOf(report) };
    await jsonFile(json, writeFile(json, `${JSON.stringify(result, null, 2)}\n`));
  }
  return faults(report).length === 0 ? EXIT_GOOD : EXIT_FAULT;
}

async function jsonFile(path: string, work: Promise<void>): Promise<void> {
  await work.catch((error: NodeJS.ErrnoException) => {
    throw badField('--json', path, `a file that can be written (${error.code ?? error.message})`);
  });
}

function parseFlags(flags: Flags): DemoOptions {
  const drawn = flags.short === true ? REQUESTS_SHORT : REQUESTS_DEFAULT;
  const unlimited = flags.trace !== undefined && flags.short !== true;
  return {
    traceFile: flags.trace ?? null,
    requests:
      flags.requests === undefined
        ? unlimited
          ? Number.POSITIVE_INFINITY
          : drawn
        : integer('--requests', flags.requests, 1, REQUESTS_MAX),
    // Prompts of production traces are so long that the rows of a larger token would take minutes.
    geometry: parseGeometry(flags.geometry ?? (flags.trace === undefined ? 'small' : 'tiny')),
    backend: flags.backend,
    socketDirectory: flags.socketDirectory ?? null,
    cudaLibrary: flags.cudaLibrary ?? defaultCudaLibrary(),
    serveArguments: flags.poolBytes === undefined ? [] : ['--pool-bytes', flags.poolBytes],
    seed: integer('--seed', flags.seed, 0, 2 ** 32 - 1),
    batchMax: integer('--batch', flags.batch, 1, BATCH_MAX),
    progress: flags.progress,
  };
}

function integer(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most) {
    throw badField(flag, text, `an integer from ${least} to ${most}`);
  }
  return value;
}
