/** The daemon as a process: signals, death, memory at rest, exit codes. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Overrides } from '../../daemon/main.js';
import { findBinary, loadNative } from '../../native/index.js';
import { call, clientsOf, PAGE, temporaryFolder, withToken } from './harness.js';

// Other work shares the machine: what is late is not yet wrong.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const root = join(import.meta.dirname, '../..');
/** Below the package's root, so that its packages are found. */
const folderOfPrograms = join(root, 'build/test-daemon');
const program = join(folderOfPrograms, 'serve.mjs');
const holder = join(folderOfPrograms, 'hold.mjs');
const RESIDENT_AT_REST_MIB_MAX = 150;
const EXTENTS = 2_000;

let folder: ReturnType<typeof temporaryFolder>;
const running: ChildProcessWithoutNullStreams[] = [];

beforeAll(async () => {
  const entries = ['serve', 'hold'].map(name =>
    join(import.meta.dirname, 'children', `${name}.ts`),
  );
  await build({
    entryPoints: entries,
    outdir: folderOfPrograms,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
  });
});
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
  folder.remove();
});

interface Started {
  readonly child: ChildProcessWithoutNullStreams;
  readonly pid: number;
  readonly directory: string;
  /** Exit code, or the signal's name. */
  readonly exit: Promise<number | string>;
  readonly errors: () => string;
}

async function start(
  more: Overrides = {},
  identity: { readonly uid?: number; readonly gid?: number } = {},
): Promise<Started> {
  const directory = join(folder.path, 'run');
  const flags = {
    backend: 'host',
    poolBytes: '64MiB',
    socketDirectory: directory,
    logLevel: 'fatal',
    shutdownTimeoutMs: 1000,
    webAddress: 'off',
    ...more,
  };
  const child = spawn(process.execPath, [program, JSON.stringify(flags)], {
    env: { ...process.env, KVSPAN_ADDON: findBinary() },
    ...identity,
  });
  running.push(child);
  let errors = '';
  child.stderr.on('data', (text: Buffer) => {
    errors += text.toString();
  });
  const exit = new Promise<number | string>(resolve => {
    child.on('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  const ready = new Promise<void>(resolve => {
    child.stdout.once('data', () => resolve());
  });
  await Promise.race([ready, exit]);
  return { child, pid: child.pid ?? 0, directory, exit, errors: () => errors };
}

function residentMib(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) / 1024;
}

const fdsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

describe('a signal', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    '%s ends it cleanly: code 0, no sockets left',
    async signal => {
      const { child, directory, exit } = await start();
      expect(existsSync(join(directory, 'kvspan.sock'))).toBe(true);
      child.kill(signal);
      expect(await exit).toBe(0);
      expect(readdirSync(directory)).toEqual(['lock']);
    },
  );
});

describe('a death', () => {
  test('by SIGKILL leaves stale sockets that the next daemon replaces', async () => {
    const first = await start();
    first.child.kill('SIGKILL');
    expect(await first.exit).toBe('SIGKILL');
    expect(readdirSync(first.directory)).toContain('kvspan.sock');
    await start();
    const clients = clientsOf(join(first.directory, 'kvspan.sock'));
    expect(await call(clients.memory, 'getServerInfo', {})).toMatchObject({ version: '0.1.0' });
    clients.close();
  });

  test.each(['throw', 'reject'])(
    'by a fault nobody caught (%s) has a code of its own and says why',
    async how => {
      const { child, exit, errors } = await start();
      child.stdin.write(`${how}\n`);
      expect(await exit).toBe(70);
      expect(errors()).toContain('on purpose');
    },
  );
});

describe("a client's death", () => {
  test('by SIGKILL, amid grants, frees all that it had once its process is gone', async () => {
    const daemon = await start();
    const clients = clientsOf(join(daemon.directory, 'kvspan.sock'));
    const pool = () => call(clients.admin, 'getPool', {});
    const fds = fdsOf(daemon.pid);
    for (let round = 0; round < 3; round += 1) {
      const holders = [0, 1, 2].map(() =>
        spawn(process.execPath, [holder, daemon.directory], {
          env: { ...process.env, KVSPAN_ADDON: findBinary() },
        }),
      );
      running.push(...holders);
      await Promise.all(
        holders.map(child => new Promise(resolve => child.stdout.once('data', resolve))),
      );
      expect(Number((await pool()).usedBytes)).toBeGreaterThan(0);
      for (const [index, child] of holders.entries()) {
        await new Promise(resolve => setTimeout(resolve, index * 7));
        child.kill('SIGKILL');
      }
      const deadline = Date.now() + 60_000;
      while ((await pool()).sessionCount > 0 && Date.now() < deadline)
        await new Promise(resolve => setTimeout(resolve, 10));
      expect(await pool()).toMatchObject({
        usedBytes: '0',
        extentCount: '0',
        sessionCount: 0,
        waitingGrantCount: 0,
      });
    }
    expect(fdsOf(daemon.pid)).toBeLessThanOrEqual(fds + 3);
    clients.close();
  });
});

describe('a process that comes and goes, and lives on', () => {
  const COMINGS = 100;

  test.each(['holding nothing', 'holding what its next session adopts'])(
    '%s, leaves no connection, session or descriptor behind',
    async what => {
      // So few sessions that the daemon has room for 68 connections.
      const { pid, directory } = await start({ sessionsMax: 4 });
      const fds = fdsOf(pid);
      const clients = clientsOf(join(directory, 'kvspan.sock'));
      const device = { backend: 'host', ordinal: 0, library: null } as const;
      const marks = { lowWaterBytes: 0n, highWaterBytes: 1n << 40n };
      const session = loadNative().openSession({ device, ...marks }, () => undefined);
      for (let coming = 0; coming < COMINGS; coming += 1) {
        const { token } = await session.connect(join(directory, 'extents.sock'), 'test', 5_000);
        const [held] = session.held();
        if (held !== undefined) {
          const adopted = { extentIds: [String(held)], extentOrders: [0] };
          // The end of the former connection may be told after the new one's hello.
          await vi.waitFor(() => call(clients.memory, 'adopt', adopted, withToken(token)));
        } else if (what !== 'holding nothing') {
          const wanted = { grantId: '1', orderCounts: [1] };
          await call(clients.memory, 'acquire', wanted, withToken(token));
        }
        session.disconnect();
      }
      expect(fdsOf(pid)).toBeLessThan(fds + 10);
      expect((await call(clients.admin, 'getPool', {})).sessionCount).toBeLessThanOrEqual(2);
      clients.close();
      await session.close();
    },
  );
});

describe('a start that fails', () => {
  test('because another daemon is there: one line, code 3, and the first goes on', async () => {
    const first = await start();
    const second = await start();
    expect(await second.exit).toBe(3);
    expect(second.errors()).toBe(
      `another daemon (pid ${first.pid}) serves on ${first.directory}\n`,
    );
    expect(first.child.exitCode).toBeNull();
  });

  test.each<[Overrides, number]>([
    [{ sessionsMax: 'many' }, 2],
    [{ poolBytes: '9000000GiB' }, 6],
    [{ backend: 'cuda', cudaLibrary: '/nowhere/libcuda.so' }, 5],
    [{ logFile: '/nowhere/at/all' }, 4],
  ])('because of %o ends with code %i and one line', async (flags, code) => {
    const { exit, errors } = await start(flags);
    expect(await exit).toBe(code);
    expect(errors().trimEnd().split('\n')).toHaveLength(1);
  });
});

describe('a group that the own user may not give sockets to', () => {
  // Only who is not root can be refused: the daemon is started as nobody.
  const asNobody = { uid: 65_534, gid: 65_534 };
  test.skipIf(process.getuid?.() !== 0).each(['made', 'there already'])(
    'ends the start with code 4 and leaves nothing; the directory is %s',
    async how => {
      const directory = join(folder.path, 'run');
      chmodSync(folder.path, 0o777);
      if (how === 'there already') {
        mkdirSync(directory, { mode: 0o700 });
        chownSync(directory, asNobody.uid, asNobody.gid);
      }
      const { exit, errors } = await start({ socketGroup: '0' }, asNobody);
      expect(await exit).toBe(4);
      expect(errors()).toMatch(/cannot be (given|opened) to group 0: EPERM/);
      expect(existsSync(directory) ? readdirSync(directory) : 'gone').toEqual(
        how === 'made' ? 'gone' : ['lock'],
      );
    },
  );
});

test('whoever read its standard output may go: it serves on', async () => {
  const { child, directory, exit } = await start();
  child.stdout.destroy();
  child.stdin.write('print\n');
  await new Promise(resolve => setTimeout(resolve, 200));
  const clients = clientsOf(join(directory, 'kvspan.sock'));
  expect(await call(clients.memory, 'getServerInfo', {})).toMatchObject({ version: '0.1.0' });
  clients.close();
  child.kill('SIGTERM');
  expect(await exit).toBe(0);
});

test(`holds no fd of ${EXTENTS} extents granted, and is under ${RESIDENT_AT_REST_MIB_MAX} MiB`, async () => {
  const { pid, directory } = await start({ poolBytes: '8GiB' });
  const fds = fdsOf(pid);
  const session = loadNative().openSession(
    {
      device: { backend: 'host', ordinal: 0, library: null },
      lowWaterBytes: 0n,
      highWaterBytes: 1n << 40n,
    },
    () => undefined,
  );
  const clients = clientsOf(join(directory, 'kvspan.sock'));
  const { token } = await session.connect(join(directory, 'extents.sock'), 'test', 5_000);
  const { grant } = await call(
    clients.memory,
    'acquire',
    { grantId: '1', orderCounts: [EXTENTS] },
    withToken(token),
  );
  expect(grant).toMatchObject({ extentCount: EXTENTS, heldBytes: String(BigInt(EXTENTS) * PAGE) });
  expect(residentMib(pid)).toBeLessThan(RESIDENT_AT_REST_MIB_MAX);
  expect(fdsOf(pid)).toBeLessThan(fds + 20);
  clients.close();
  await session.close();
}, 30_000);
