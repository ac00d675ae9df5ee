/**
 * A daemon as a process of its own, for the tests that end one. Flags come as JSON in argv[2]. Says
 * `ready` when it serves, and its exit code is the daemon's. A line on standard input makes it print,
 * or is a fault that nobody catches: `print`, `throw` or `reject`.
 */
import { runUntilSignal, serve, StartupError, type Overrides } from '../../../daemon/main.js';

try {
  const daemon = await serve(JSON.parse(process.argv[2] ?? '{}') as Overrides);
  const ended = runUntilSignal(daemon);
  process.stdin.on('data', (line: Buffer) => {
    if (line.toString().startsWith('print')) {
      process.stdout.write('printed\n');
      return;
    }
    if (line.toString().startsWith('throw')) throw new Error('on purpose');
    void Promise.reject(new Error('on purpose'));
  });
  process.stdout.write('ready\n');
  process.exitCode = await ended;
  process.stdin.destroy();
} catch (error) {
  if (!(error instanceof StartupError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = error.exitCode;
}
