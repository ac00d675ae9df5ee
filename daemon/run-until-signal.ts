/** How a daemon ends in production: by a signal, or by a fault that it does not survive. */
import { ExitCode } from './exit-codes.js';
import type { Logger } from './telemetry/log.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

interface Stoppable {
  readonly log: Logger;
  stop(): Promise<void>;
}

/**
 * Resolves with the exit code once a signal has come and the daemon has stopped. A second signal
 * ends the process at once: whoever sends two does not want to wait. A fault that nothing caught
 * ends it too, with a code of its own: a daemon whose state is unknown must not go on granting.
 */
export function runUntilSignal(daemon: Stoppable): Promise<number> {
  const crash = (error: unknown): void => {
    daemon.log.fatal({ component: 'main', err: error }, 'a fault nobody caught: the daemon ends');
    process.exit(ExitCode.crashed);
  };
  // Who read the banner may be gone (`kvspan serve | head`): that ends no daemon.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  return new Promise((resolve, reject) => {
    let stopping = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      daemon.log.info({ component: 'main', signal }, 'signal');
      if (stopping) process.exit(ExitCode.clean);
      stopping = true;
      daemon.stop().then(() => resolve(ExitCode.clean), reject);
    };
    for (const signal of SIGNALS) process.on(signal, onSignal);
  });
}
