/** `serve --until-stdin-ends`: a daemon that ends with whoever holds the other end of its input. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { temporaryFolder } from './harness.js';

const cli = join(import.meta.dirname, '../../build/ts/client/cli/main.js');

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

async function started() {
  const flags = ['--backend', 'host', '--pool-bytes', '64MiB', '--socket-directory', folder.path];
  const child = spawn(process.execPath, [cli, 'serve', ...flags, '--until-stdin-ends'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  return child;
}

it('ends by a signal although its input is held', async () => {
  const child = await started();
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

it('ends when its input does', async () => {
  const child = await started();
  child.stdin.end();
  expect(await once(child, 'exit')).toEqual([0, null]);
});
