/** What the operator's commands share: their options, their connection, how they end. */
import { Command } from 'commander';
import { KvspanError } from '../../../proto/errors.js';
import { AdminClient } from '../../typescript/admin.js';

/** As documented in docs/operating.md. */
export const ExitCode = {
  done: 0,
  /** The daemon, or a check, said no. */
  refused: 1,
  /** The arguments are wrong. */
  usage: 2,
  /** No daemon answers there. */
  unavailable: 69,
  /** The daemon is there, and this user may not. */
  notPermitted: 77,
} as const;

export interface CommonOptions {
  readonly socketDirectory?: string;
  readonly json?: boolean;
}

/**
 * A command that asks a running daemon, with the options that all of these have. `parent`: the words
 * before its name, for one that stands below another.
 */
export function adminCommand(name: string, description: string, parent = 'kvspan'): Command {
  return new Command(name)
    .description(description)
    .option('--socket-directory <path>', "the daemon's sockets (KVSPAN_SOCKET_DIR)")
    .option('--json', 'for machines: one JSON document on standard output')
    .showHelpAfterError(`${parent} ${name} --help lists the options`)
    .exitOverride();
}

/** Runs `action` with a connection; its failure is one line, a hint, and an exit code. */
export async function withAdmin(
  command: string,
  options: CommonOptions,
  action: (admin: AdminClient) => Promise<number>,
): Promise<number> {
  let admin: AdminClient | null = null;
  try {
    admin = new AdminClient(
      options.socketDirectory === undefined ? {} : { socketDirectory: options.socketDirectory },
    );
    return await action(admin);
  } catch (error) {
    if (!(error instanceof KvspanError)) throw error;
    return fail(command, error, admin?.socketDirectory ?? '');
  } finally {
    admin?.close();
  }
}

/** Where to look next; of other codes the message says it. */
const hints: Partial<Record<KvspanError['code'], string>> = {
  PERMISSION_DENIED: "only the daemon's own user may change anything (admin.sock)",
  SESSION_UNKNOWN: '`kvspan sessions` lists those that there are',
  REVISION_STALE: '`kvspan tenants` shows them with their revision',
};

function fail(command: string, error: KvspanError, directory: string): number {
  if (error.code === 'DAEMON_UNAVAILABLE' || error.code === 'DEADLINE_EXCEEDED') {
    process.stderr.write(
      `kvspan ${command}: no daemon answers in ${directory}\n` +
        '  start one with `kvspan serve`, or say where it is: --socket-directory, KVSPAN_SOCKET_DIR\n',
    );
    return ExitCode.unavailable;
  }
  process.stderr.write(`kvspan ${command}: ${error.code}: ${error.message}\n`);
  const hint = hints[error.code];
  if (hint !== undefined) process.stderr.write(`  ${hint}\n`);
  if (error.code === 'PERMISSION_DENIED') {
    return ExitCode.notPermitted;
  }
  return error.code === 'INVALID_ARGUMENT' ? ExitCode.usage : ExitCode.refused;
}

const plain = (_: string, one: unknown) => (typeof one === 'bigint' ? Number(one) : one);

/** Sizes, counts and ids as JSON numbers: all of them are below 2^53. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, plain, 2)}\n`);
}
