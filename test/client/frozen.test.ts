/** The client is away for too long while the daemon lives on: it must find back by itself. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Admin } from '../support/admin.js';
import { childScript } from '../support/children.js';
import { PAGE, type SpawnedDaemon, spawnDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';

const ACK_TIMEOUT_MS = 200;
/** More than ten messages full. */
const EXTENTS = 2_500;

let daemon: SpawnedDaemon;
let admin: Admin;
const children: ChildProcess[] = [];

beforeEach(async () => {
  daemon = await spawnDaemon({ poolBytes: '6GiB', ackTimeoutMs: ACK_TIMEOUT_MS });
  admin = new Admin(daemon.directory);
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  admin.close();
  await daemon.stop();
});

/** T: stopped by a signal. */
const isFrozen = ({ pid }: ChildProcess): boolean =>
  /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

/** A child that has frozen in the middle of its large grant, and that the daemon has given up. */
async function givenUp(): Promise<ChildProcess> {
  const order = JSON.stringify({ directory: daemon.directory, extents: EXTENTS });
  const child = fork(childScript('test/client/children/sleeper'), [order], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  children.push(child);
  await until('the child freezes', () => isFrozen(child), 10_000);
  await until('the daemon gives it up', async () => {
    const [account] = await admin.sessions();
    return account?.state === 'SESSION_STATE_LINGERING';
  });
  return child;
}

async function nothingLeft(): Promise<boolean> {
  const { usedBytes, extents, sessions, caches } = await admin.pool();
  return usedBytes + extents + BigInt(sessions + caches) === 0n;
}

describe('a client that was frozen in the middle of a grant for longer than the daemon waits', () => {
  it('comes back by itself: rows intact, same addresses, exact books', async () => {
    const child = await givenUp();
    const [former] = await admin.sessions();
    // Charged for what it has and for what lies in its socket, not for the rest of the grant.
    expect(former?.heldBytes).toBeGreaterThan(4n * PAGE);
    expect(former?.heldBytes).toBeLessThan(BigInt(EXTENTS) * PAGE);

    const told = once(child, 'message');
    child.kill('SIGCONT');
    const [report] = await told;
    expect(report).toMatchObject({
      away: { state: 'disconnected', outcome: 'nothing', intact: true },
      outcome: 'DAEMON_UNAVAILABLE',
      intact: true,
      grown: true,
      sameBase: true,
      sameSession: false,
    });
    expect(report.away.released).toBeGreaterThan(0);
    // Nothing is lost: what it had is on the new account, or was given back.
    expect(BigInt(report.adopted + report.away.released)).toBe(former?.heldBytes);

    const held = BigInt(report.held);
    await until('the books are exact', async () => (await admin.pool()).usedBytes === held);
    expect(await admin.pool()).toMatchObject({
      usedBytes: held,
      extents: BigInt(report.extents),
      sessions: 1,
      caches: 1,
    });
    expect(await admin.sessions()).toMatchObject([{ pid: child.pid, heldBytes: held }]);
    // The child's end, orderly; the daemon serves on with nothing left over.
    const gone = once(child, 'exit');
    child.send('close');
    await gone;
    await until('nothing is left', nothingLeft);
  });

  it('and killed before it thaws: the daemon has all of it back', async () => {
    const child = await givenUp();
    expect((await admin.pool()).usedBytes).toBeGreaterThan(0n);
    child.kill('SIGKILL');
    await until('nothing is left', nothingLeft);
  });
});
