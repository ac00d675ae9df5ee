#!/usr/bin/env node
/**
 * The command line. It holds no code of the commands: each has an entry module of its own, loaded
 * only when it is asked for, so that `kvspan serve` never loads a benchmark and the client keeps its
 * rule of importing neither daemon nor bench. The paths are relative to this file, and the same in
 * the build and in the bundle.
 */
import { realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { Command, CommanderError } from 'commander';
import { version } from '../../proto/version.js';
import { addOperatorCommands } from './operator/commands.js';
import { spawnSelftest } from './selftest.js';
import { start } from './start.js';

/** What an entry module exports: runs a command to its end and says the exit code. */
export type Entry = (argv: string[], hooks?: EntryHooks) => Promise<number>;

export interface EntryHooks {
  /** Called by `serve` once clients can connect. */
  readonly ready?: (socketDirectory: string) => void;
}

/** As of all commands here, and of the daemon for its configuration. */
const USAGE_EXIT_CODE = 2;

const entries = {
  serve: '../../daemon/command.js',
  demo: '../../bench/demo/main.js',
  bench: '../../bench/main.js',
} as const;

async function load(name: keyof typeof entries): Promise<Entry> {
  const loaded = (await import(new URL(entries[name], import.meta.url).href)) as { main: Entry };
  return loaded.main;
}

export async function main(argv: string[]): Promise<number> {
  let code = 0;
  const program = new Command('kvspan')
    .description("The daemon that owns a GPU's KV-cache memory, and its tools.")
    .version(version)
    .showHelpAfterError()
    .enablePositionalOptions()
    .exitOverride();
  const command = (
    name: string,
    description: string,
    action: (args: string[]) => Promise<number>,
  ) =>
    program
      .command(name)
      .description(description)
      .argument('[options...]', `see kvspan ${name} --help`)
      .helpOption(false)
      .allowUnknownOption()
      .passThroughOptions()
      .action(async (args: string[]) => {
        code = await action(args);
      });

  command('serve', 'Runs the daemon.', async args => (await load('serve'))(args));
  command(
    'start',
    'Runs the daemon and, beside it, a short demo (--no-demo: only the daemon).',
    async args => start(args, await load('serve')),
  );
  command(
    'demo',
    'Replays a request trace as a serving engine would, and checks every byte.',
    async args => (await load('demo'))(args),
  );
  command(
    'bench',
    'Measures kvspan beside its alternatives, in one run on one machine.',
    async args => (await load('bench'))(args),
  );
  command('selftest', "Holds this machine's devices to kvspan's contract.", spawnSelftest);
  addOperatorCommands(program, ended => {
    code = ended;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    // Commander has printed why; help and version end with 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_EXIT_CODE;
    throw error;
  }
  return code;
}

// Whoever reads our output may have seen enough (`| head`); that is no fault, and must not end a
// daemon that somebody uses.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const invoked = process.argv[1];
if (invoked !== undefined && pathToFileURL(realpathSync(invoked)).href === import.meta.url) {
  process.exitCode = await main(process.argv.slice(2));
}
