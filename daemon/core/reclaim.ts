import { badField } from '../../proto/errors.js';
import { RECLAIM_DEADLINE_MS } from './limits.js';
import type { AskedBack, Session, SessionTable } from './sessions.js';
import { PAGE_BYTES, bytes, instant, type Bytes, type Effect, type Instant } from './types.js';
import type { WaitingLine } from './waiting.js';

export interface ReclaimShare {
  readonly session: Session;
  readonly wantedBytes: Bytes;
}

/** What sessions were asked for and still have time to bring. */
export function outstandingBytes(sessions: Iterable<Session>, now: Instant): bigint {
  let total = 0n;
  for (const session of sessions) {
    if (isAsked(session, now)) total += session.askedBack?.leftBytes ?? 0n;
  }
  return total;
}

/**
 * Whom to ask for `neededBytes`, so that the largest come down to one level and nobody below that
 * level is asked. Not the asker, who has given up its own idle memory before it asked; not who is
 * being asked already; not who is no longer connected. Others who wait for the pool themselves are
 * asked only if nobody else holds anything: they are as short as the asker. Who was asked and brought
 * nothing (it is frozen, or all its requests run) is asked again only for what the others cannot have:
 * else the largest, which stays the largest, would hide what is idle behind it.
 */
export function planReclaims(
  sessions: Iterable<Session>,
  line: WaitingLine,
  neededBytes: bigint,
  now: Instant,
): ReclaimShare[] {
  if (neededBytes <= 0n) return [];
  const connected = [...sessions].filter(
    session => session.state === 'open' && session.heldBytes > 0n,
  );
  const content = connected.filter(session => !line.contends(session));
  const among =
    content.length > 0 ? content : connected.filter(session => session !== line.head?.session);
  const holders = among.filter(session => !isAsked(session, now));
  holders.sort((a, b) =>
    a.heldBytes === b.heldBytes ? Number(a.id - b.id) : a.heldBytes > b.heldBytes ? -1 : 1,
  );
  const shares = sharesOf(
    holders.filter(session => !isBarren(session)),
    neededBytes,
  );
  const coming = shares.reduce((total, { wantedBytes }) => total + wantedBytes, 0n);
  if (coming >= neededBytes) return shares;
  return [...shares, ...sharesOf(holders.filter(isBarren), neededBytes - coming)];
}

/** `holders`: the largest first. */
function sharesOf(holders: readonly Session[], neededBytes: bigint): ReclaimShare[] {
  const level = levelThatFrees(holders, neededBytes);
  return holders
    .filter(session => session.heldBytes > level)
    .map(session => ({ session, wantedBytes: wholePages(session.heldBytes - level) }));
}

const broughtNothing = ({ leftBytes, wantedBytes }: AskedBack): boolean =>
  leftBytes === wantedBytes;

/** Of a session that is not being asked: what it was asked before is over, answered or not. */
const isBarren = ({ barren, askedBack }: Session): boolean =>
  barren || (askedBack !== null && broughtNothing(askedBack));

function isAsked({ askedBack }: Session, now: Instant): boolean {
  return askedBack !== null && askedBack.deadline > now;
}

/** The level to which the largest must come down to free `neededBytes`; 0: all of them, wholly. */
function levelThatFrees(holders: readonly Session[], neededBytes: bigint): bigint {
  let total = 0n;
  for (const [index, holder] of holders.entries()) {
    total += holder.heldBytes;
    const count = BigInt(index + 1);
    const next = holders[index + 1]?.heldBytes ?? 0n;
    if (total - count * next >= neededBytes) return (total - neededBytes) / count;
  }
  return 0n;
}

function wholePages(value: bigint): Bytes {
  return bytes(((value + PAGE_BYTES - 1n) / PAGE_BYTES) * PAGE_BYTES);
}

/**
 * When sessions are asked to give back: at once when a grant has to wait for the pool, and again
 * every RECLAIM_DEADLINE_MS while any waits. A session is never asked twice at the same time.
 */
export class ReclaimRounds {
  private lastId = 0n;
  private nextRound: Instant | null = null;

  constructor(private readonly sessions: SessionTable) {}

  /** When to ask again; null: nobody waited for the pool when last looked at. */
  get next(): Instant | null {
    return this.nextRound;
  }

  /** A round if it is time for one. */
  due(line: WaitingLine, freeBytes: bigint, now: Instant): Effect[] {
    if (line.head !== null && this.nextRound !== null && now < this.nextRound) return [];
    return this.now(line, freeBytes, now);
  }

  /** Asks for what the waiting need beyond what is free and what is on its way. */
  now(line: WaitingLine, freeBytes: bigint, now: Instant): Effect[] {
    this.nextRound = null;
    if (line.head === null) return [];
    this.nextRound = instant(now + RECLAIM_DEADLINE_MS);
    const missing = line.neededBytes() - freeBytes - outstandingBytes(this.sessions, now);
    const shares = planReclaims(this.sessions, line, missing, now);
    return shares.map(share => this.ask(share, instant(now + RECLAIM_DEADLINE_MS)));
  }

  reported(session: Session, reclaim: bigint): void {
    if (typeof reclaim !== 'bigint' || reclaim < 1n || reclaim > this.lastId) {
      throw badField('reclaim_id', reclaim, 'the id of a reclaim that was asked for');
    }
    const { askedBack } = session;
    if (askedBack?.id !== reclaim) return;
    session.barren = broughtNothing(askedBack);
    session.askedBack = null;
  }

  /** What was asked of the session will not come: the next look at the line asks others. */
  dismiss(session: Session): void {
    if (session.askedBack !== null) this.nextRound = null;
    session.askedBack = null;
  }

  private ask({ session, wantedBytes }: ReclaimShare, deadline: Instant): Effect {
    this.lastId += 1n;
    session.askedBack = { id: this.lastId, deadline, wantedBytes, leftBytes: wantedBytes };
    return { kind: 'reclaim', session: session.id, reclaim: this.lastId, wantedBytes, deadline };
  }
}
