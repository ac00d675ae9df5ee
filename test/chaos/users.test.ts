/** Clients in other users' names: the kernel says who they are, and the daemon goes by that. */
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { LOOKS } from '../../daemon/core/device-check.js';
import { findBinary } from '../../native/index.js';
import { Admin } from '../support/admin.js';
import { childScript } from '../support/children.js';
import { PAGE, privateDirectory, type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';
import { afterLooks, LIMIT_MS } from './engines.js';

/** Numbers that nobody need have a name for. */
const THEIRS = { uid: 64_001, gid: 64_100 };
const NOBODYS = { uid: 64_002, gid: 64_100 };
const OUTSIDE = { uid: 64_003, gid: 64_300 };
const SCRIPT = 'test/chaos/children/visitor';

/** Null: processes of other users can be started here; else why not. */
function whyNot(): string | null {
  if (process.getuid?.() !== 0) return 'only root may start processes in the names of others';
  const files = JSON.stringify([childScript(SCRIPT), findBinary()]);
  const look = `for (const path of ${files}) require('fs').accessSync(path, 4)`;
  const seen = spawnSync(process.execPath, ['-e', look], { ...THEIRS });
  if (seen.error !== undefined) return `cannot start a process of another user: ${seen.error}`;
  return seen.status === 0 ? null : 'another user cannot read this checkout';
}

const skip = whyNot();

interface Visit {
  readonly held: number;
  readonly code: string;
  readonly uid: number;
  /** What came of evicting through everybody's socket, and through the administrator's. */
  readonly tried: readonly string[];
}

describe('clients of other users, where they can be started', () => {
  it('is root', context => {
    if (skip !== null) context.skip(skip);
    expect(process.getuid?.()).toBe(0);
  });
});

describe.skipIf(skip !== null)('a client of another user', () => {
  let daemon: SpawnedDaemon;
  let admin: Admin;
  let parent: string;
  let directory: string;
  const children: ChildProcess[] = [];

  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    admin.close();
    await daemon.stop();
    rmSync(parent, { recursive: true });
  });

  async function start(): Promise<void> {
    // A directory that the daemon makes itself: one that is there keeps whom it belongs to.
    parent = privateDirectory();
    chmodSync(parent, 0o755);
    directory = join(parent, 's');
    daemon = await spawnDaemon({
      socketDirectory: directory,
      poolBytes: '64MiB',
      logLevel: 'fatal',
      deviceCheckMs: 20,
      socketGroup: String(THEIRS.gid),
      tenants: [
        { name: 'theirs', users: [THEIRS.uid], limit: '16MiB' },
        { name: 'ours', users: [0] },
      ],
    });
    admin = new Admin(directory);
  }

  async function visit(as: { uid: number; gid: number }, pages: number) {
    const child = fork(childScript(SCRIPT), [directory, String(pages)], {
      ...as,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    children.push(child);
    const [told] = (await once(child, 'message')) as [Visit];
    return { child, told };
  }

  it('is known by what the kernel says, charged to its tenant, and seen by the books', async () => {
    await start();
    const { child, told } = await visit(THEIRS, 4);
    expect(told).toMatchObject({ held: Number(4n * PAGE), code: '', uid: THEIRS.uid });
    const [account] = await admin.sessions();
    expect(account).toMatchObject({ pid: child.pid, tenant: 'theirs', heldBytes: 4n * PAGE });
    expect((await admin.tenant('theirs')).heldBytes).toBe(4n * PAGE);
    expect(await afterLooks(admin, LOOKS + 1)).toMatchObject({
      heldBytes: 4n * PAGE,
      missingBytes: 0n,
      pids: [],
    });
  });

  it('may change and evict nothing; the administrator may evict and end it', async () => {
    await start();
    const { child, told } = await visit(THEIRS, 4);
    expect(told.tried).toEqual(['PERMISSION_DENIED', 'DAEMON_UNAVAILABLE']);
    const [account] = await admin.sessions();
    expect(account?.state).toBe('SESSION_STATE_OPEN');
    const gone = once(child, 'exit');
    await admin.evict(account?.id as bigint, true);
    expect(await gone).toEqual([null, 'SIGKILL']);
    await until('all is free', async () => (await admin.pool()).usedBytes === 0n, LIMIT_MS);
  });

  it('is refused above the limit of its tenant, without a tenant, and outside of the group', async () => {
    await start();
    expect((await visit(THEIRS, 9)).told.code).toBe('TENANT_LIMIT');
    expect((await visit(NOBODYS, 1)).told.code).toBe('TENANT_UNKNOWN');
    expect((await visit(OUTSIDE, 1)).told.code).toBe('DAEMON_UNAVAILABLE');
  });
});
