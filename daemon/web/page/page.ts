/// <reference lib="dom" />
/** The live page: asks the daemon once a second and shows what it says. */
import {
  askCaches,
  askHistory,
  askSnapshot,
  type Cache,
  type Session,
  type Snapshot,
  type Tenant,
} from './data.js';
import { colourOf, percent, showBytes } from './format.js';
import { drawMap, type Owner } from './memory-map.js';
import { bar, fill, type Cell, type Row } from './tables.js';
import { TimeLine } from './time-line.js';

const LEGEND_MAX = 24;
const SWATCH = 10;
/** Of memory that is free and kept for somebody. */
const PROMISED = 'hsl(45 80% 60% / 60%)';

const element = (id: string): HTMLElement => {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no element ${id}`);
  return found;
};
const rowsOf = (id: string) => element(id) as HTMLTableSectionElement;

const text = (value: string): Cell => ({ text: value });
const number = (value: string | number): Cell => ({ text: String(value), number: true });

let poolBytes = 1;
/** Whose caches are shown. */
let chosen: Session | null = null;
const timeLine = new TimeLine(element('time'), () => poolBytes);

function show(state: Snapshot): void {
  poolBytes = state.pool.poolBytes;
  element('daemon').textContent =
    `${state.version} on ${state.device.name}, driver ${state.device.driver}`;
  const sessions = state.sessions.toSorted(
    (left, right) => right.heldBytes - left.heldBytes || left.id - right.id,
  );
  showFigures(state);
  showMap(state, sessions);
  const limit = (bytes: number) => (bytes >= poolBytes ? 'pool' : showBytes(bytes));
  fill(
    rowsOf('tenants'),
    state.tenants.map((tenant, index) => tenantRow(tenant, index, limit)),
  );
  fill(
    rowsOf('session-rows'),
    sessions.map(session => sessionRow(session, limit)),
  );
  element('no-sessions').hidden = sessions.length > 0;
}

function showFigures({ pool }: Snapshot): void {
  const waiting =
    pool.waitingGrantCount === 0
      ? 'nobody waits'
      : `${pool.waitingGrantCount} grants wait for ${showBytes(pool.waitingBytes)}`;
  const figures = element('figures');
  figures.textContent =
    `${showBytes(pool.usedBytes)} of ${showBytes(pool.poolBytes)} in use ` +
    `(${percent(pool.usedBytes, pool.poolBytes)}), ${showBytes(pool.freeBytes)} free, ` +
    (pool.promisedBytes > 0 ? `${showBytes(pool.promisedBytes)} of that promised, ` : '') +
    `${pool.extentCount} extents, ${waiting}`;
  figures.dataset['usedBytes'] = String(pool.usedBytes);
  figures.dataset['freeBytes'] = String(pool.freeBytes);
}

function showMap({ pool, tenants }: Snapshot, sessions: readonly Session[]): void {
  const promised = { name: 'promised', bytes: pool.promisedBytes, colour: PROMISED };
  const free = { name: 'free', bytes: pool.freeBytes - pool.promisedBytes, colour: null };
  const owners = tenants.flatMap((tenant, index) =>
    sessions
      .filter(session => session.tenant === tenant.name && session.heldBytes > 0)
      .map((session, nth) => ownerOf(session, colourOf(index, nth))),
  );
  drawMap(element('map') as HTMLCanvasElement, [...owners, promised, free], poolBytes);
  const items = owners.slice(0, LEGEND_MAX).map(({ name, bytes, colour }) => {
    const item = document.createElement('li');
    item.append(bar([{ share: 1, colour: colour ?? '' }], SWATCH), `${name} ${showBytes(bytes)}`);
    return item;
  });
  const more = owners.length - items.length;
  if (more > 0) {
    const rest = document.createElement('li');
    rest.textContent = `and ${more} more`;
    items.push(rest);
  }
  element('legend').replaceChildren(...items);
}

const ownerOf = ({ name, id, heldBytes }: Session, colour: string): Owner => ({
  name: `${name} (session ${id})`,
  bytes: heldBytes,
  colour,
});

function tenantRow(tenant: Tenant, index: number, limit: (bytes: number) => string): Row {
  const whole = Math.max(tenant.limitBytes, 1);
  const within = Math.min(tenant.heldBytes, tenant.guaranteedBytes);
  const open = Math.max(0, tenant.guaranteedBytes - tenant.heldBytes);
  const parts = [
    { share: within / whole, colour: colourOf(index) },
    {
      share: Math.min(1, tenant.borrowedBytes / whole),
      colour: colourOf(index, 0, 0.55),
    },
    { share: Math.min(1, open / whole), colour: colourOf(index, 0, 0.2) },
  ];
  return {
    key: tenant.name,
    cells: [
      text(tenant.name),
      { text: '', bar: parts },
      number(showBytes(tenant.heldBytes)),
      number(showBytes(tenant.borrowedBytes)),
      number(`${showBytes(tenant.guaranteedBytes)}${tenant.held ? ' held' : ''}`),
      number(limit(tenant.limitBytes)),
      number(tenant.weight),
      number(tenant.waitingGrantCount),
    ],
  };
}

function sessionRow(session: Session, limit: (bytes: number) => string): Row {
  const notes = [
    session.evicted ? 'evicted' : '',
    session.state === 'lingering' ? 'connection gone, process alive' : '',
    session.servedLast ? 'served last' : '',
    session.overdueCount > 0 ? `${session.overdueCount}x overdue` : '',
  ].filter(note => note !== '');
  return {
    key: String(session.id),
    cells: [
      { text: String(session.id), action: () => void choose(session) },
      text(session.name),
      text(session.tenant),
      number(session.pid),
      number(showBytes(session.heldBytes)),
      number(limit(session.limitBytes)),
      number(session.extentCount),
      number(session.cacheCount),
      number(session.waitingGrantCount),
      text(notes.join(', ')),
    ],
  };
}

async function choose(session: Session | null): Promise<void> {
  chosen = session;
  element('details').hidden = session === null;
  if (session === null) return;
  element('details-title').textContent = `Caches of ${session.name} (session ${session.id})`;
  await showCaches();
  element('details').focus();
}

async function showCaches(): Promise<void> {
  if (chosen === null) return;
  try {
    fill(rowsOf('cache-rows'), (await askCaches(chosen.id)).map(cacheRow));
  } catch {
    // The session has ended meanwhile.
    await choose(null);
  }
}

function cacheRow({ id, name, geometry, plan }: Cache): Row {
  return {
    key: String(id),
    cells: [
      text(String(id)),
      text(name),
      text(`${geometry.layers} x ${geometry.kvHeads} x ${geometry.headDim} ${geometry.dtype}`),
      text(geometry.layout),
      number(geometry.slots),
      number(geometry.maxTokens),
      text(`0x${plan.baseAddress.toString(16)}`),
      number(showBytes(plan.totalBytes)),
    ],
  };
}

async function look(): Promise<void> {
  const connection = element('connection');
  try {
    const state = await askSnapshot();
    show(state);
    const held = Object.fromEntries(state.tenants.map(({ name, heldBytes }) => [name, heldBytes]));
    const { usedBytes, waitingBytes } = state.pool;
    timeLine.add(
      [{ at: state.at, usedBytes, waitingBytes, heldByTenant: held }],
      state.tenants.map(({ name }) => name),
    );
    await showCaches();
    if (connection.textContent !== '') connection.textContent = '';
    connection.className = '';
  } catch (error) {
    connection.className = 'lost';
    connection.textContent = `The daemon does not answer (${(error as Error).message}); asking again`;
  }
}

async function begin(): Promise<void> {
  element('close-details').addEventListener('click', () => void choose(null));
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape') void choose(null);
  });
  const first = await askSnapshot().catch(() => null);
  if (first !== null) {
    poolBytes = first.pool.poolBytes;
    timeLine.add(
      await askHistory(),
      first.tenants.map(({ name }) => name),
    );
  }
  for (;;) {
    // A page that nobody sees costs the daemon nothing.
    if (!document.hidden) await look();
    await new Promise(resolve => setTimeout(resolve, first?.sampleEveryMs ?? 1_000));
  }
}

void begin();
