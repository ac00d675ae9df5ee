/** The operator's commands and their options. What they do is loaded only when it is asked for. */
import { type Command, InvalidArgumentError } from 'commander';
import { adminCommand, type CommonOptions } from './context.js';
import type { EvictOptions } from './evict.js';
import type { SetOptions } from './tenants.js';
import type { TopOptions } from './top.js';

/** `ended` is told the exit code of the command that ran. */
export function addOperatorCommands(program: Command, ended: (code: number) => void): void {
  const run =
    <Options>(action: (options: Options) => Promise<number>) =>
    async (options: Options) =>
      ended(await action(options));
  program.addCommand(
    adminCommand('status', 'The daemon, its device and its pool, on one screen.').action(
      run(async (options: CommonOptions) => (await import('./status.js')).status(options)),
    ),
  );
  program.addCommand(
    adminCommand('sessions', 'The serving processes and what they hold, the largest first.').action(
      run(async (options: CommonOptions) => (await import('./sessions.js')).sessions(options)),
    ),
  );
  program.addCommand(
    adminCommand('caches', 'The KV caches: geometry, slots, addresses.')
      .option('--session <id>', 'only those of this session', idOf)
      .action(
        run(async (options: CommonOptions & { session?: bigint }) =>
          (await import('./sessions.js')).caches(options),
        ),
      ),
  );
  program.addCommand(
    adminCommand(
      'page',
      "The address of the daemon's live page, with the token that opens it.",
    ).action(run(async (options: CommonOptions) => (await import('./page.js')).page(options))),
  );
  program.addCommand(evictCommand(ended));
  program.addCommand(tenantsCommand(ended));
  program.addCommand(topCommand(ended));
  program.addCommand(
    adminCommand('doctor', 'Whether this machine can serve, and what to do where it cannot.')
      .addHelpText('after', '\nEnds with 1 if something is bad; notes do not count.')
      .action(
        run(async (options: CommonOptions) => (await import('./doctor/doctor.js')).doctor(options)),
      ),
  );
}

function tenantsCommand(ended: (code: number) => void): Command {
  const tenants = adminCommand('tenants', 'Guarantees, limits, weights, and who has what.').action(
    async (options: CommonOptions) =>
      ended(await (await import('./tenants.js')).listTenants(options)),
  );
  tenants.addCommand(
    adminCommand('get', 'The same as `kvspan tenants`.', 'kvspan tenants').action(
      async (_, command: Command) =>
        ended(
          await (await import('./tenants.js')).listTenants(
            command.optsWithGlobals<CommonOptions>(),
          ),
        ),
    ),
  );
  tenants.addCommand(
    adminCommand('set', 'Changes what a tenant is entitled to, at once.', 'kvspan tenants')
      .argument('<name>', 'one of those that the daemon was started with')
      .option('--guaranteed <size>', 'met by taking back what others borrow; 0 for none')
      .option('--limit <size>', 'never passed; 100% for the whole pool')
      .option('--weight <number>', 'its share of what no guarantee covers')
      .option('--guarantee <held|lent>', 'whether others may borrow it while it is unused')
      .option('--revision <number>', 'refuse if anything was changed since this revision', idOf)
      .addHelpText(
        'after',
        `
Sizes: 512MiB, 40GiB, or a share of the pool (25%).

Examples:
  kvspan tenants set chat --guaranteed 20GiB --limit 60GiB
  kvspan tenants set batch --weight 3 --guarantee lent`,
      )
      .action(async (name: string, _, command: Command) =>
        ended(
          await (await import('./tenants.js')).setTenant(
            name,
            command.optsWithGlobals<SetOptions>(),
          ),
        ),
      ),
  );
  return tenants;
}

function evictCommand(ended: (code: number) => void): Command {
  return adminCommand('evict', 'Puts a session out: it gets nothing more and may only give back.')
    .argument('<session>', 'its id, as kvspan sessions shows it', idOf)
    .option('--kill', 'also end its process (SIGKILL): without, it keeps what it has until it ends')
    .action(async (session: bigint, options: EvictOptions) =>
      ended(await (await import('./evict.js')).evict(session, options)),
    );
}

function topCommand(ended: (code: number) => void): Command {
  return adminCommand('top', 'The pool and its sessions, live. q or Ctrl-C ends it.')
    .option('--interval-ms <ms>', 'from one look to the next', wholeOf(100, 3_600_000), 1_000)
    .option('--frames <number>', 'end after so many; 0: never', wholeOf(0, 1e9), 0)
    .addHelpText(
      'after',
      `
Examples:
  kvspan top
  kvspan top --frames 1           one look, as text
  kvspan top --json --frames 10   ten documents, one after the other`,
    )
    .action(async (options: TopOptions) => ended(await (await import('./top.js')).top(options)));
}

function idOf(text: string): bigint {
  if (!/^[0-9]{1,19}$/.test(text)) throw new InvalidArgumentError('allowed: a whole number');
  return BigInt(text);
}

const wholeOf =
  (minimum: number, maximum: number) =>
  (text: string): number => {
    const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : NaN;
    if (!(value >= minimum && value <= maximum))
      throw new InvalidArgumentError(`allowed: a whole number of ${minimum} .. ${maximum}`);
    return value;
  };
