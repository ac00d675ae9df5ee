/**
 * Establishing a session: once when a client connects, and again each time the daemon was away, or
 * had given the client up: then its former session's memory and addresses move to the new one.
 */
import { join } from 'node:path';
import type { CacheGeometry, CachePlan } from '../../proto/domain.js';
import { KvspanError } from '../../proto/errors.js';
import { EXTENT_SOCKET, SERVICE_SOCKET } from '../../proto/paths.js';
import { now } from './deadline.js';
import { Link, type LinkEvents } from './link.js';
import type { Memory } from './mapping/memory.js';
import { heldExtents } from './mapping/memory.js';
import { type ServerInfo, Service } from './service.js';

/** Extents in one Adopt message: 144 KiB, well within what a daemon takes. */
const ADOPT_EXTENTS_MAX = 16_384;

const noRoomCodes: ReadonlySet<string> = new Set([
  'QUOTA_EXHAUSTED',
  'TENANT_LIMIT',
  'POOL_EXHAUSTED',
]);
const noPlaceCodes: ReadonlySet<string> = new Set(['ADDRESS_PLAN_EXHAUSTED', 'CACHE_LIMIT']);

export interface Meeting {
  readonly socketDirectory: string;
  readonly name: string;
  readonly timeoutMs: number;
}

export interface Daemon {
  readonly service: Service;
  readonly server: ServerInfo;
}

const WHERE_TO_LOOK =
  'start one with `kvspan serve`, or say where it is: socketDirectory, KVSPAN_SOCKET_DIR';

/** Asks who is there, before anything is opened for it. Throws DAEMON_UNAVAILABLE. */
export async function findDaemon(meeting: Meeting): Promise<Daemon> {
  const path = join(meeting.socketDirectory, SERVICE_SOCKET);
  const service = new Service(path);
  try {
    return { service, server: await service.serverInfo(meeting.timeoutMs) };
  } catch (cause) {
    service.close();
    const reason = cause instanceof KvspanError ? cause.message : String(cause);
    const said = `no kvspan daemon answers at ${path} (${reason})`;
    if (cause instanceof KvspanError && cause.code === 'PROTOCOL')
      throw new KvspanError('PROTOCOL', said, { cause });
    throw new KvspanError('DAEMON_UNAVAILABLE', `${said}; ${WHERE_TO_LOOK}`, { cause });
  }
}

/** Says hello on the extent channel, which makes the session, and opens its stream. */
export async function enter(
  memory: Memory,
  daemon: Daemon,
  meeting: Meeting,
  events: LinkEvents,
): Promise<Link> {
  const { service, server } = daemon;
  const deadline = now() + meeting.timeoutMs;
  try {
    const path = server.extentSocket || join(meeting.socketDirectory, EXTENT_SOCKET);
    const welcome = await memory.connect(path, meeting.name, meeting.timeoutMs);
    return await Link.open(welcome, service, server, events, Math.max(1, deadline - now()));
  } catch (error) {
    service.close();
    throw error;
  }
}

function describe({ backend, device, pageBytes }: ServerInfo): string {
  return `${backend} ${device.ordinal} ${device.uuid}, pages of ${pageBytes} bytes`;
}

/** A client's memory is of one device: a daemon of another one cannot take it on. */
export function checkSameDevice(before: ServerInfo, after: ServerInfo): void {
  const [then, now] = [describe(before), describe(after)];
  if (then === now) return;
  const message = `the daemon now serves ${now}, this session's memory is of ${then}`;
  throw new KvspanError('DEVICE_UNAVAILABLE', message);
}

/**
 * Puts everything held on the new session's account. Nothing may be released meanwhile, so releases
 * are paused, and stay so: the caller resumes them. Memory that the daemon has no room for is given
 * up as far as it is idle, and what is left tried once more.
 */
export async function adoptHeld(memory: Memory, link: Link, timeoutMs: number): Promise<bigint> {
  const adopted = new Set<bigint>();
  let adoptedBytes = 0n;
  const adopt = async (): Promise<bigint> => {
    memory.pauseReleases();
    const held = heldExtents(memory).filter(({ id }) => !adopted.has(id));
    for (let first = 0; first < held.length; first += ADOPT_EXTENTS_MAX) {
      const batch = held.slice(first, first + ADOPT_EXTENTS_MAX);
      adoptedBytes = await link.service.adopt(batch, link.server.pageBytes, timeoutMs);
      for (const { id } of batch) adopted.add(id);
    }
    return adoptedBytes;
  };
  try {
    return await adopt();
  } catch (error) {
    if (!(error instanceof KvspanError) || !noRoomCodes.has(error.code)) throw error;
    memory.resumeReleases();
    await memory.giveBack(memory.stats().heldBytes);
    return adopt();
  }
}

/** A cache as a new daemon must know it again. */
export interface Replanted {
  /** As it is reserved, the overread behind the longest request included. */
  readonly reserved: CacheGeometry;
  readonly plan: CachePlan;
  readonly name: string;
  readonly closed: boolean;
  cacheId: bigint;
}

/** The cache keeps its addresses, so the daemon's plan for it must have the same sizes. */
export async function replant(cache: Replanted, link: Link, timeoutMs: number): Promise<void> {
  const { baseAddress } = cache.plan;
  if (cache.closed) return bury(cache, link, timeoutMs);
  const { cacheId, plan } = await link.service.createCache(
    cache.reserved,
    baseAddress,
    cache.name,
    timeoutMs,
  );
  for (const field of [
    'laneCount',
    'rowBytes',
    'slotStrideBytes',
    'laneStrideBytes',
    'totalBytes',
  ] as const) {
    if (plan[field] === cache.plan[field]) continue;
    const present = `the cache has ${cache.plan[field]}`;
    throw new KvspanError(
      'PROTOCOL',
      `plan.${field}: the daemon now says ${plan[field]}, ${present}`,
    );
  }
  cache.cacheId = cacheId;
  if (plan.baseAddress !== baseAddress)
    await link.service.placeCache(cacheId, baseAddress, timeoutMs);
}

/**
 * A cache that was closed while nobody could be told is taken over from the earlier session, so that
 * it can be destroyed. A daemon that has no room for it has nothing of it either.
 */
async function bury(cache: Replanted, link: Link, timeoutMs: number): Promise<void> {
  const { reserved, plan, name } = cache;
  const { service } = link;
  try {
    const { cacheId } = await service.createCache(reserved, plan.baseAddress, name, timeoutMs);
    cache.cacheId = cacheId;
    await service.destroyCache(cacheId, timeoutMs);
  } catch (error) {
    if (!(error instanceof KvspanError) || !noPlaceCodes.has(error.code)) throw error;
  }
}
