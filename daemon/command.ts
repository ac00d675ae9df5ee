/** `kvspan serve`: the daemon as a command, from flags to exit code. */
import { Command } from 'commander';
import {
  type DaemonInfo,
  optionList,
  type Overrides,
  type RunningDaemon,
  runUntilSignal,
  serve,
  showBytes,
  StartupError,
} from './main.js';

export interface Hooks {
  /** Called once clients can connect. */
  readonly ready?: (socketDirectory: string) => void;
}

function parser(): Command {
  const command = new Command('kvspan serve')
    .description(
      "Runs the daemon that owns a device's KV-cache memory.\n" +
        'Every setting can also stand in a TOML file (--config) or in the environment; flags win.\n' +
        'In brackets: what is allowed, the default, the variable.',
    )
    .option('--config <file>', 'settings as TOML; the keys are these flags in camelCase')
    .option('--quiet', 'no banner', false)
    .option(
      '--until-stdin-ends',
      'stop when standard input ends: for a daemon of one process',
      false,
    )
    .allowExcessArguments(false)
    .showHelpAfterError('kvspan serve --help lists the options')
    .exitOverride();
  for (const { flag, help } of optionList) command.option(flag, help);
  return command.addHelpText(
    'after',
    `
Examples:
  kvspan serve                                 the GPU if there is one, else the host backend
  kvspan serve --backend host --pool-bytes 2GiB --socket-directory /tmp/kvspan
  KVSPAN_POOL_BYTES=80% kvspan serve --log-format pretty`,
  );
}

/** Runs until a signal; resolves with the exit code of daemon/exit-codes.ts. */
export async function main(argv: string[], hooks: Hooks = {}): Promise<number> {
  const command = parser();
  try {
    command.parse(argv, { from: 'user' });
  } catch (error) {
    // Commander has printed why; help and version end with 0, bad flags as a bad configuration.
    const { exitCode } = error as { exitCode?: number };
    return exitCode === 0 ? 0 : 2;
  }
  const { quiet, untilStdinEnds, ...overrides } = command.opts<
    Overrides & { quiet: boolean; untilStdinEnds: boolean }
  >();
  let daemon: RunningDaemon;
  try {
    daemon = await serve(overrides);
  } catch (error) {
    if (!(error instanceof StartupError)) throw error;
    process.stderr.write(
      `kvspan: ${error.message}\n${error.hint === '' ? '' : `  ${error.hint}\n`}`,
    );
    return error.exitCode;
  }
  const ended = runUntilSignal(daemon);
  const letGo = untilStdinEnds ? stopWithStdin() : () => {};
  if (!quiet) process.stdout.write(banner(daemon.info));
  hooks.ready?.(daemon.info.sockets.directory);
  const code = await ended;
  letGo();
  return code;
}

/**
 * Whoever holds the other end of the pipe may be killed: the kernel closes it even then. Returns what
 * undoes it: a stream that is read keeps the process alive, so one that was stopped by a signal would
 * not end as long as the other end is held.
 */
function stopWithStdin(): () => void {
  process.stdin.once('close', terminate);
  // Its end is seen only by who reads.
  process.stdin.resume();
  return () => {
    process.stdin.removeListener('close', terminate);
    process.stdin.destroy();
  };
}

const terminate = (): void => void process.kill(process.pid, 'SIGTERM');

/** One screen that says what is served. */
function banner(info: DaemonInfo): string {
  const { device, limits, sockets } = info;
  const lines: [string, string][] = [
    ['backend', device.backend + shortReason(info.fallbackReason)],
    ['device', `${device.name}, ${showBytes(device.totalBytes)}, driver ${device.driver}`],
    ['pool', `${showBytes(limits.poolBytes)}, in extents of 2 MiB .. 1 GiB`],
    ['gRPC', `unix:${sockets.service}`],
    ['extents', sockets.extents],
    ['changes', `${sockets.admin}: this user alone`],
    [
      'a session',
      `at most ${showBytes(limits.sessionLimitBytes)}, ${limits.cachesPerSessionMax} caches`,
    ],
    ...tenantLines(info),
    [
      'limits',
      `${limits.sessionsMax} sessions; grants wait up to ${limits.grantWaitMsMax / 1000} s`,
    ],
    ...webLines(info),
    ['process', `pid ${info.pid}; stop with Ctrl-C`],
  ];
  const body = lines.map(([name, text]) => `  ${name.padEnd(10)} ${text}`).join('\n');
  return `\nkvspan ${info.version} serves\n\n${body}\n`;
}

function webLines({ web }: DaemonInfo): [string, string][] {
  if (web === null) return [];
  const metrics: [string, string] = ['metrics', `http://${web.address}/metrics`];
  return web.pageUrl === null ? [metrics] : [metrics, ['live page', web.pageUrl]];
}

function tenantLines({ limits }: DaemonInfo): [string, string][] {
  if (limits.tenants.length === 0) return [];
  const told = limits.tenants.map(({ name, guaranteedBytes, held }) => {
    const guarantee = `${showBytes(guaranteedBytes)} ${held ? 'held' : 'guaranteed'}`;
    return guaranteedBytes === 0n ? name : `${name} (${guarantee})`;
  });
  return [['tenants', told.join(', ')]];
}

/** The whole sentence, with what to do about it, is in the log. */
function shortReason(fallbackReason: string | null): string {
  if (fallbackReason === null) return '';
  return ` (no GPU: ${fallbackReason.replace(/^cuda: /, '').split(/ \(|: /, 1)[0]})`;
}
