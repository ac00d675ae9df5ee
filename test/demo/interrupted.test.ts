/** A demo that is ended before its time takes its private daemon and their directory with it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { childScript } from '../support/children.js';
import { until } from '../support/until.js';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kvspan-interrupted-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** A demo whose private daemon listens, under `directory`. */
async function startDemo() {
  // Nobody answers in `none`, so that the daemon is a private one, under `directory`.
  const env = { ...process.env, TMPDIR: directory, KVSPAN_SOCKET_DIR: join(directory, 'none') };
  const demo = spawn(process.execPath, [childScript('client/cli/main'), 'demo'], {
    env,
    stdio: 'ignore',
  });
  const ended = once(demo, 'exit');
  let lock = '';
  await until('the private daemon listens', async () => {
    const [made] = await readdir(directory);
    lock = join(directory, made ?? '', 'lock');
    return existsSync(join(directory, made ?? '', 'kvspan.sock'));
  });
  return { demo, ended, daemon: Number(await readFile(lock, 'utf8')) };
}

it('by SIGKILL, but for a directory with its lock file', async () => {
  const { demo, ended, daemon } = await startDemo();
  demo.kill('SIGKILL');
  expect(await ended).toEqual([null, 'SIGKILL']);
  await until('the private daemon ends', () => !existsSync(`/proc/${daemon}`));
  const [left] = await readdir(directory);
  expect(await readdir(join(directory, left as string))).toEqual(['lock']);
});

it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('by %s', async signal => {
  const { demo, ended, daemon } = await startDemo();
  demo.kill(signal);
  expect(await ended).toEqual([null, signal]);
  await until('the private daemon ends', () => !existsSync(`/proc/${daemon}`));
  expect(await readdir(directory)).toEqual([]);
});

it('ends by a signal though its input, at which it looks, stays open', async () => {
  const args = ['serve', '--socket-directory', join(directory, 'own'), '--until-stdin-ends'];
  const backend = ['--backend', 'host', '--pool-bytes', '4MiB'];
  const daemon = spawn(process.execPath, [childScript('client/cli/main'), ...args, ...backend], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = once(daemon, 'exit');
  // Its banner comes when it minds signals.
  await once(daemon.stdout, 'data');
  daemon.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  daemon.stdin.destroy();
});
