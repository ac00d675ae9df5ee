/**
 * `kvspan start`: what a newcomer runs first. The daemon, and beside it, as the separate serving
 * process that a client really is, a short demo against it; then the daemon goes on serving.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Entry } from './main.js';

const NO_DEMO = '--no-demo';

export async function start(argv: string[], serve: Entry): Promise<number> {
  const demoWanted = !argv.includes(NO_DEMO);
  const args = argv.filter(arg => arg !== NO_DEMO);
  return serve(args, {
    ready: socketDirectory => {
      if (demoWanted) runDemo(socketDirectory);
    },
  });
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
  demo.once('close', code => {
    process.removeListener('exit', stop);
    process.stdout.write(
      code === 0
        ? '\nThe demo is over; the daemon goes on serving. `npm run demo` shows more; Ctrl-C stops.\n'
        : `\nThe demo ended with status ${code}; the daemon goes on serving. Ctrl-C stops.\n`,
    );
  });
}
