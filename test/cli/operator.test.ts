/** The operator's commands against a daemon with sessions: what they print is what is so. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { main } from '../../client/cli/main.js';
import { whoIs } from '../../client/cli/operator/evict.js';
import { frameOf, type Snapshot } from '../../client/cli/operator/top.js';
import { AdminClient, type Cache, type Session } from '../../client/typescript/index.js';
import { connectTo, SMALL, TOKENS_PER_PAGE } from '../client/support.js';
import { PAGE, startDaemon, type TestDaemon } from '../support/daemon.js';

const tenants = [{ name: 'chat', clients: ['engine'], guaranteed: '16MiB' }];
let daemon: TestDaemon;
let session: Session;
let cache: Cache;

beforeAll(async () => {
  daemon = await startDaemon({ poolBytes: '64MiB', tenants });
  session = await connectTo(daemon.directory, { name: 'engine' });
  cache = await session.createCache({ ...SMALL, name: 'llama' });
  await cache.allocate(3 * TOKENS_PER_PAGE);
});
afterAll(async () => {
  await session.close();
  await daemon.stop();
});
afterEach(() => {
  vi.restoreAllMocks();
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function kvspan(...args: string[]): Promise<Ran> {
  let [out, err] = ['', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation(chunk => {
    out += chunk.toString();
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation(chunk => {
    err += chunk.toString();
    return true;
  });
  try {
    return { code: await main(args), out, err };
  } finally {
    vi.restoreAllMocks();
  }
}

/** Against this daemon; the flag stands where a user would put it. */
const asked = (...args: string[]) => kvspan(...args, '--socket-directory', daemon.directory);

function json({ out, err }: Ran): unknown {
  expect(err).toBe('');
  return JSON.parse(out);
}
const list = (ran: Ran) => json(ran) as Record<string, unknown>[];

describe('status', () => {
  it('says what the admin service says', async () => {
    const admin = new AdminClient({ socketDirectory: daemon.directory });
    const pool = await admin.pool();
    admin.close();
    const told = json(await asked('status', '--json')) as Record<string, unknown>;
    expect(told).toMatchObject({
      backend: 'host',
      poolBytes: 64 * 2 ** 20,
      usedBytes: Number(pool.usedBytes),
      freeBytes: Number(pool.freeBytes),
      sessionCount: 1,
      cacheCount: 1,
      socketDirectory: daemon.directory,
    });
    expect(told['usedBytes']).toBe(Number(session.stats().heldBytes));
  });

  it('is one screen for people', async () => {
    const { code, out } = await asked('status');
    expect(code).toBe(0);
    expect(out).toContain(`in ${daemon.directory}`);
    expect(out).toMatch(/^pool +\[#+\.+\] \d+\.\d %$/m);
    expect(out).toContain('of 64.0 MiB in use');
    expect(out).toContain('1 session, 1 cache\n');
  });

  it('ends with 69 and a hint where no daemon is', async () => {
    const { code, out, err } = await kvspan('status', '--socket-directory', '/nowhere');
    expect([code, out]).toEqual([69, '']);
    expect(err).toContain('no daemon answers in /nowhere');
    expect(err).toContain('kvspan serve');
  });
});

describe('sessions and caches', () => {
  it('lists a session with what it holds', async () => {
    const { out } = await asked('sessions');
    const [head, row] = out.split('\n') as [string, string];
    expect(head).toMatch(/^ *SESSION +PID +USER +NAME +TENANT +HELD/);
    expect(row).toContain(`${session.id} `);
    expect(row).toMatch(new RegExp(` ${process.pid} +\\d+ +engine +chat +\\d+\\.\\d MiB`));
    const [told] = list(await asked('sessions', '--json'));
    expect(told).toMatchObject({
      sessionId: Number(session.id),
      name: 'engine',
      state: 'open',
      heldBytes: Number(session.stats().heldBytes),
    });
  });

  it('lists a cache with its geometry and address', async () => {
    const { out } = await asked('caches');
    expect(out).toContain('4 x 8 x 64 bf16');
    expect(out).toContain(`0x${cache.plan.baseAddress.toString(16)}`);
    const of = (id: string) => asked('caches', '--json', '--session', id);
    expect(list(await of(`${session.id}`))).toHaveLength(1);
  });

  it('refuses a session that there is not, and an id that is none', async () => {
    const missing = await asked('caches', '--session', '987654');
    expect(missing.code).toBe(1);
    expect(missing.err).toContain('SESSION_UNKNOWN');
    const wrong = await asked('caches', '--session', 'mine');
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain("'mine' is invalid. allowed: a whole number");
  });
});

describe('tenants', () => {
  it('are listed with guarantee, limit and revision', async () => {
    const { out } = await asked('tenants');
    expect(out).toMatch(/^chat +\d.*16\.0 MiB +lent +pool/m);
    expect(out).toMatch(/^revision \d+$/m);
    expect(json(await asked('tenants', 'get', '--json'))).toEqual(
      json(await asked('tenants', '--json')),
    );
  });

  it('are changed at once, and what is not named stays', async () => {
    const { code, out } = await asked('tenants', 'set', 'chat', '--limit', '50%', '--weight', '3');
    expect(code).toBe(0);
    expect(out).toContain('was  guaranteed 16.0 MiB lent, limit pool, weight 1');
    expect(out).toContain('now  guaranteed 16.0 MiB lent, limit 32.0 MiB, weight 3');
    await expect(session.acquire([16], { waitMs: 0 })).rejects.toMatchObject({
      code: 'TENANT_LIMIT',
    });
    const back = await asked('tenants', 'set', 'chat', '--limit', '100%', '--guarantee', 'held');
    expect(back.out).toContain('now  guaranteed 16.0 MiB held, limit pool, weight 3');
  });

  it.each([
    [['set', 'nobody', '--weight', '1'], 'name: got "nobody", allowed: chat'],
    [
      ['set', 'chat', '--weight', 'much'],
      'weight: got "much", allowed: a whole number 1 .. 1000000',
    ],
    [['set', 'chat', '--weight', '0'], 'weight: got "0", allowed: a whole number 1 .. 1000000'],
    [['set'], 'kvspan tenants set --help lists the options'],
    [['set', 'chat', '--limit', '0'], 'limit: got "0", allowed: bytes'],
    [['set', 'chat', '--limit', '1MiB'], 'limit_bytes'],
    [
      ['set', 'chat', '--guaranteed', '1TiB'],
      'guaranteed: got "1TiB", allowed: at most the tenant',
    ],
    [['set', 'chat', '--guaranteed', '64MiB', '--limit', '32MiB'], 'at least the guarantee'],
    [['set', 'chat', '--guarantee', 'mine'], 'guarantee: got "mine", allowed: held, lent'],
    [['set', 'chat'], 'options: got "none", allowed: --guaranteed'],
  ])('%j is refused, named, and nothing has changed', async (args, message) => {
    const before = await asked('tenants', '--json');
    const { code, out, err } = await asked('tenants', ...args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
    expect(await asked('tenants', '--json')).toEqual(before);
  });

  it('a change from a stale revision is refused', async () => {
    const stale = await asked('tenants', 'set', 'chat', '--weight', '2', '--revision', '0');
    expect(stale.code).toBe(1);
    expect(stale.err).toContain('REVISION_STALE');
  });
});

describe('evict', () => {
  it('puts a session out, names its process and does not end it', async () => {
    const other = await connectTo(daemon.directory, { name: 'engine', reconnect: false });
    await other.acquire([2]);
    const gone = new Promise<string>(resolve =>
      other.on('disconnected', ({ error }) => resolve(error.code)),
    );
    const { code, out } = await asked('evict', `${other.id}`);
    expect(code).toBe(0);
    expect(out).toContain(`session ${other.id} (engine, pid ${process.pid}) is evicted`);
    expect(out).toContain('it still holds 4.0 MiB');
    expect(await gone).toBe('SESSION_EVICTED');
    expect((await asked('sessions')).out).toMatch(new RegExp(`^ *${other.id} .*evicted`, 'm'));
    await other.close();
  });

  it('says the pid of a process without a name once', () => {
    expect(whoIs({ name: 'pid 12', pid: 12 })).toBe('pid 12');
    expect(whoIs({ name: 'pid 12', pid: 13 })).toBe('pid 12, pid 13');
  });

  it.each([
    [['987654'], 1, 'SESSION_UNKNOWN'],
    [['mine'], 2, 'allowed: a whole number'],
    [[], 2, "missing required argument 'session'"],
  ])('%j is refused', async (args, code, message) => {
    const ran = await asked('evict', ...args);
    expect(ran.code).toBe(code);
    expect(ran.err).toContain(message);
  });
});

describe('top', () => {
  it('is text where there is no terminal', async () => {
    const { code, out } = await asked('top', '--frames', '2', '--interval-ms', '100');
    expect(code).toBe(0);
    expect(out.match(/^pool +\[/gm)).toHaveLength(2);
    expect(out).toMatch(/^flow +-$/m);
    expect(out).toMatch(/^flow +0\.0 grants\/s/m);
    expect(out).not.toContain('\x1b');
  });

  it('tells rates from two looks, and takes a daemon that began anew for one', () => {
    const pool = {
      grantedCount: 10n,
      refusedCount: 1n,
      grantedBytes: 10n * PAGE,
      returnedBytes: 0n,
    };
    const at = (atMs: number, changes: object): Snapshot =>
      ({
        atMs,
        pool: { ...emptyPool, ...pool, ...changes },
        sessions: [],
        tenants: [],
      }) as unknown as Snapshot;
    const before = at(1_000, {});
    const after = at(3_000, { grantedCount: 14n, grantedBytes: 18n * PAGE, refusedCount: 2n });
    expect(frameOf(after, before, 100)).toContain(
      '2.0 grants/s, 8.0 MiB/s out, 0 B/s back, 1 refused',
    );
    expect(frameOf(at(5_000, { grantedCount: 0n }), after, 100)).toMatch(/^flow +-$/m);
  });

  it.each([
    ['--interval-ms', '5'],
    ['--frames', '-1'],
  ])('%s %s is refused', async (flag, value) => {
    const { code, err } = await asked('top', `${flag}=${value}`);
    expect(code).toBe(2);
    expect(err).toContain('allowed: a whole number of');
  });
});

const emptyPool = {
  version: '0',
  deviceName: 'x',
  uptimeMs: 0n,
  poolBytes: 64n * PAGE,
  usedBytes: 0n,
  promisedBytes: 0n,
  waitingGrantCount: 0,
  waitingBytes: 0n,
};

describe('doctor', () => {
  it('finds what there is, and no fault here', async () => {
    const findings = list(await asked('doctor', '--json'));
    const found = Object.fromEntries(findings.map(one => [one['check'], one]));
    expect(found['addon']).toMatchObject({ state: 'ok' });
    expect(found['host memory']?.['found']).toMatch(
      /^2 MiB created .* imported .* mapped .* released$/,
    );
    expect(found['daemon']).toMatchObject({ state: 'ok' });
    expect(found['socket directory']?.['found']).toContain('mode 700');
  });

  it('ends with 1 where something is bad, and says what to do', async () => {
    const before = process.env['CUDA_MPS_PIPE_DIRECTORY'];
    process.env['CUDA_MPS_PIPE_DIRECTORY'] = daemon.directory;
    const { code, out } = await asked('doctor');
    if (before === undefined) delete process.env['CUDA_MPS_PIPE_DIRECTORY'];
    else process.env['CUDA_MPS_PIPE_DIRECTORY'] = before;
    expect(code).toBe(1);
    expect(out).toMatch(/^BAD {3}mps .* is there\n +-> .*does not hold under MPS/m);
  });
});
