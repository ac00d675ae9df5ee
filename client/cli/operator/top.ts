/** `kvspan top`: the pool and its sessions, again and again on one screen. */
import { setTimeout as sleep } from 'node:timers/promises';
import { KvspanError } from '../../../proto/errors.js';
import { showBytes } from '../../../proto/size.js';
import type { AdminClient } from '../../typescript/admin.js';
import type { PoolView, SessionView, TenantView } from '../../typescript/admin-views.js';
import { type CommonOptions, ExitCode, printJson, withAdmin } from './context.js';
import { bar, counted, duration, percent } from './render.js';
import { sessionTable } from './sessions.js';

export interface TopOptions extends CommonOptions {
  readonly intervalMs: number;
  /** Frames until it ends by itself; 0: until it is told to. */
  readonly frames: number;
}

export interface Snapshot {
  readonly atMs: number;
  readonly pool: PoolView;
  readonly sessions: readonly SessionView[];
  readonly tenants: readonly TenantView[];
}

const HOME = '\x1b[H';
const CLEAR_BELOW = '\x1b[J';
const CLEAR_LINE = '\x1b[K';
const SCREEN_OPEN = '\x1b[?1049h\x1b[?25l';
const SCREEN_CLOSE = '\x1b[?25h\x1b[?1049l';
const COLUMNS_DEFAULT = 100;
/** Marks of the bar, one tenant after the other. */
const MARKS = '#=+*%@&o';

export function top(options: TopOptions): Promise<number> {
  return withAdmin('top', options, async admin => {
    const live = options.json !== true && process.stdout.isTTY;
    const ended = new AbortController();
    const stopListening = live ? openScreen(() => ended.abort()) : () => undefined;
    try {
      await run(admin, options, live, ended.signal);
    } finally {
      stopListening();
    }
    return ExitCode.done;
  });
}

async function run(
  admin: AdminClient,
  options: TopOptions,
  live: boolean,
  signal: AbortSignal,
): Promise<void> {
  let before: Snapshot | null = null;
  for (let frame = 1; !signal.aborted; frame++) {
    const now = await look(admin, live && before !== null);
    if (now === null) process.stdout.write(`${HOME}no daemon answers; looking again${CLEAR_LINE}`);
    else show(now, before, options, live);
    before = now ?? before;
    if (frame === options.frames) return;
    await sleep(options.intervalMs, undefined, { signal }).catch(() => undefined);
  }
}

/** `patient`: a daemon that was there may come back; who watches goes on watching. */
async function look(admin: AdminClient, patient: boolean): Promise<Snapshot | null> {
  try {
    const [pool, sessions, { tenants }] = await Promise.all([
      admin.pool(),
      admin.sessions(),
      admin.tenants(),
    ]);
    return { atMs: performance.now(), pool, sessions, tenants };
  } catch (error) {
    if (patient && error instanceof KvspanError && error.retryable) return null;
    throw error;
  }
}

function show(now: Snapshot, before: Snapshot | null, options: TopOptions, live: boolean): void {
  if (options.json === true) {
    printJson({ pool: now.pool, sessions: now.sessions, tenants: now.tenants });
    return;
  }
  const columns = process.stdout.columns ?? COLUMNS_DEFAULT;
  const text = frameOf(now, before, columns);
  if (!live) {
    process.stdout.write(`${text}\n`);
    return;
  }
  const rows = Math.max(1, (process.stdout.rows ?? 24) - 1);
  const lines = text.split('\n').slice(0, rows);
  const cut = lines.map(line => line.slice(0, columns) + CLEAR_LINE).join('\n');
  process.stdout.write(HOME + cut + CLEAR_BELOW);
}

/** One frame as text; rates come from the frame before. */
export function frameOf(now: Snapshot, before: Snapshot | null, columns: number): string {
  const { pool, sessions, tenants } = now;
  const width = Math.max(10, Math.min(columns - 40, 80));
  const shares = tenants.map(({ heldBytes }, index) => ({
    bytes: heldBytes,
    mark: MARKS[index % MARKS.length] ?? '#',
  }));
  const use = `${showBytes(pool.usedBytes)} of ${showBytes(pool.poolBytes)}`;
  const lines = [
    `kvspan ${pool.version}  ${pool.deviceName}  up ${duration(pool.uptimeMs)}`,
    '',
    `pool     [${bar(shares, pool.poolBytes, width)}] ${use}, ${percent(pool.usedBytes, pool.poolBytes)}`,
    ...legend(tenants),
    `flow     ${flowOf(now, before)}`,
    `waiting  ${waitingOf(pool)}`,
    '',
    sessions.length === 0 ? 'no sessions' : sessionTable(sessions, pool.poolBytes).trimEnd(),
  ];
  return lines.join('\n');
}

function waitingOf({ waitingGrantCount, waitingBytes }: PoolView): string {
  if (waitingGrantCount === 0) return 'nobody';
  return `${counted(waitingGrantCount, 'grant')} for ${showBytes(waitingBytes)}`;
}

function legend(tenants: readonly TenantView[]): string[] {
  if (tenants.length < 2) return [];
  const told = tenants.map(
    (tenant, index) =>
      `${MARKS[index % MARKS.length]} ${tenant.name} ${showBytes(tenant.heldBytes)}` +
      (tenant.guaranteedBytes === 0n
        ? ''
        : ` (of ${showBytes(tenant.guaranteedBytes)} guaranteed)`),
  );
  return [`tenants  ${told.join('  ')}`];
}

/** What went out and came back since the frame before, a second. */
function flowOf(now: Snapshot, before: Snapshot | null): string {
  if (before === null || now.atMs <= before.atMs) return '-';
  // A daemon that was started anew counts from nothing.
  if (now.pool.grantedCount < before.pool.grantedCount) return '-';
  const seconds = (now.atMs - before.atMs) / 1000;
  const rate = (later: bigint, earlier: bigint) => Number(later - earlier) / seconds;
  const bytes = (later: bigint, earlier: bigint) =>
    showBytes(BigInt(Math.round(Math.max(0, rate(later, earlier)))));
  const { pool } = now;
  const grants = rate(pool.grantedCount, before.pool.grantedCount).toFixed(1);
  const refused = pool.refusedCount - before.pool.refusedCount;
  return (
    `${grants} grants/s, ${bytes(pool.grantedBytes, before.pool.grantedBytes)}/s out, ` +
    `${bytes(pool.returnedBytes, before.pool.returnedBytes)}/s back, ${refused} refused`
  );
}

/** The other screen of the terminal, as pagers have it; `stop` on q or Ctrl-C. */
function openScreen(stop: () => void): () => void {
  const onKey = (key: Buffer) => {
    if (key.includes(0x71) || key.includes(0x03)) stop();
  };
  process.stdout.write(SCREEN_OPEN + HOME + CLEAR_BELOW);
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const { stdin } = process;
  if (stdin.isTTY) {
    stdin.setRawMode(true);
    stdin.on('data', onKey);
  }
  return () => {
    process.stdout.write(SCREEN_CLOSE);
    process.removeListener('SIGINT', stop);
    process.removeListener('SIGTERM', stop);
    if (!stdin.isTTY) return;
    stdin.removeListener('data', onKey);
    stdin.setRawMode(false);
    stdin.pause();
  };
}
