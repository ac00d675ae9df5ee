/**
 * `kvspan start`: what a newcomer runs first. The daemon, and beside it, as the separate serving
 * process that a client really is, a short demo against it; then the daemon goes on serving.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Entry } from './main.js';

const NO_DEMO = '--no-demo';
const HELP = `Usage: kvspan start [${NO_DEMO}] [options]

Runs the daemon and, beside it, a short demo as a serving process of its own.
With ${NO_DEMO} it runs the daemon alone. On a terminal the log is for people. All
other options are those of kvspan serve:

`;

export async function start(argv: string[], serve: Entry): Promise<number> {
  const demoWanted = !argv.includes(NO_DEMO);
  const args = argv.filter(arg => arg !== NO_DEMO);
  if (args.includes('--help') || args.includes('-h')) process.stdout.write(HELP);
  return serve([...logForPeople(args), ...args], {
    ready: socketDirectory => {
      if (demoWanted) runDemo(socketDirectory);
    },
  });
}

/** A person who watches a terminal and has said nothing of the log gets one that can be read. */
function logForPeople(args: readonly string[]): string[] {
  const said = args.some(arg => /^--(log-format|log-file|config)(=|$)/.test(arg));
  const saidInEnvironment = ['KVSPAN_LOG_FORMAT', 'KVSPAN_LOG_FILE'].some(
    name => process.env[name],
  );
  return process.stderr.isTTY && !said && !saidInEnvironment ? ['--log-format', 'pretty'] : [];
}

function runDemo(socketDirectory: string): void {
  process.stdout.write('\nA short demo runs against it now, as a serving process of its own:\n\n');
  const cli = fileURLToPath(new URL('./main.js', import.meta.url));
  const demo = spawn(
    process.execPath,
    [cli, 'demo', '--short', '--socket-directory', socketDirectory],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  const stop = () => demo.kill('SIGTERM');
  process.once('exit', stop);
  demo.once('close', (code, signal) => {
    process.removeListener('exit', stop);
    // Ctrl-C is for the daemon too: it is about to end.
    if (signal === 'SIGINT' || signal === 'SIGTERM') return;
    process.stdout.write(
      code === 0
        ? 'The demo is over; the daemon goes on serving. `npm run demo` shows more; Ctrl-C stops.\n'
        : `\nThe demo ended with ${signal ?? `status ${code}`}; the daemon goes on serving. Ctrl-C stops.\n`,
    );
  });
}
