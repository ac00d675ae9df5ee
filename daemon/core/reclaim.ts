import { badField } from '../../proto/errors.js';
import { RECLAIM_DEADLINE_MS } from './limits.js';
import { broughtNothing, planReclaims, type ReclaimShare } from './reclaim-plan.js';
import type { AskedBack, Session, SessionTable } from './sessions.js';
import type { TenantTable } from './tenants.js';
import { bytes, instant, type Effect, type Instant } from './types.js';
import type { WaitingLine } from './waiting.js';

/**
 * When sessions are asked to give back: at once when a grant has to wait for the pool, and again
 * every RECLAIM_DEADLINE_MS while any waits. A session is never asked twice at the same time. Who was
 * asked for what a guarantee needs and does not bring it in time is recorded; who was asked for idle
 * memory never is, and when it says that it has none others are asked at once.
 */
export class ReclaimRounds {
  private lastId = 0n;
  private nextRound: Instant | null = null;
  /** Asked for what a guarantee needs; to be looked at again at the deadline. */
  private readonly owing = new Set<Session>();

  constructor(
    private readonly sessions: SessionTable,
    private readonly tenants: TenantTable,
  ) {}

  /** When to ask again; null: nobody waited for what others have when last looked at. */
  get next(): Instant | null {
    return this.nextRound;
  }

  /** When the first is overdue; null: nobody was asked for what a guarantee needs. */
  get nextOverdue(): Instant | null {
    let first: Instant | null = null;
    for (const { askedBack } of this.owing) {
      if (askedBack !== null && (first === null || askedBack.deadline < first))
        first = askedBack.deadline;
    }
    return first;
  }

  /** A round if it is time for one. */
  due(line: WaitingLine, freeBytes: bigint, now: Instant): Effect[] {
    if (line.isHelpable && this.nextRound !== null && now < this.nextRound) return [];
    return this.now(line, freeBytes, now);
  }

  /** Asks for what the waiting need beyond what is free and what is on its way. */
  now(line: WaitingLine, freeBytes: bigint, now: Instant): Effect[] {
    this.nextRound = null;
    if (!line.isHelpable) return [];
    this.nextRound = instant(now + RECLAIM_DEADLINE_MS);
    const { sessions, tenants } = this;
    const shares = planReclaims({ sessions, tenants, line, freeBytes, now });
    return shares.map(share => this.ask(share, instant(now + RECLAIM_DEADLINE_MS)));
  }

  /** Who has not brought in time what a guarantee needed. */
  overdue(now: Instant): Effect[] {
    return [...this.owing]
      .filter(({ askedBack }) => askedBack === null || askedBack.deadline <= now)
      .flatMap(session => this.close(session));
  }

  /** The session says that it has given what it can. */
  reported(session: Session, reclaim: bigint, now: Instant): Effect[] {
    if (typeof reclaim !== 'bigint' || reclaim < 1n || reclaim > this.lastId) {
      throw badField('reclaim_id', reclaim, 'the id of a reclaim that was asked for');
    }
    const { askedBack } = session;
    if (askedBack?.id !== reclaim) return [];
    if (askedBack.idleOnly) this.idleTold(session, askedBack, now);
    else session.barren = broughtNothing(askedBack);
    // It has brought all of it, so there may be more: who still waits need not wait for the deadline.
    if (askedBack.leftBytes === 0n) this.nextRound = null;
    const effects = this.close(session);
    session.askedBack = null;
    return effects;
  }

  /** What was asked of the session will not come: the next look at the line asks others. */
  dismiss(session: Session): void {
    if (session.askedBack !== null) this.nextRound = null;
    session.askedBack = null;
    this.owing.delete(session);
  }

  /** What it has not brought is not idle. That is no fault of its; others are asked at once. */
  private idleTold(session: Session, { leftBytes }: AskedBack, now: Instant): void {
    if (leftBytes === 0n) return;
    session.idleNotBefore = instant(now + RECLAIM_DEADLINE_MS);
    this.nextRound = null;
  }

  private ask(share: ReclaimShare, deadline: Instant): Effect {
    const { session, wantedBytes, forGuarantee, idleOnly } = share;
    this.lastId += 1n;
    session.askedBack = {
      id: this.lastId,
      deadline,
      wantedBytes,
      idleOnly,
      leftBytes: wantedBytes,
      forGuarantee,
      levelBytes: session.heldBytes - wantedBytes,
    };
    if (forGuarantee) this.owing.add(session);
    const reclaim = this.lastId;
    return { kind: 'reclaim', session: session.id, reclaim, wantedBytes, deadline, idleOnly };
  }

  /** The time of what was asked for a guarantee is over: recorded if something is missing. */
  private close(session: Session): Effect[] {
    const { askedBack, id } = session;
    if (!this.owing.delete(session) || askedBack === null) return [];
    askedBack.forGuarantee = false;
    // Who owes already is recorded: one that is stopped is asked, in vain, every round.
    if (askedBack.leftBytes === 0n || session.overdueAboveBytes !== null) return [];
    session.overdueAboveBytes = askedBack.levelBytes;
    session.overdueCount += 1;
    session.tenant.overdueCount += 1;
    return [
      {
        kind: 'overdue',
        session: id,
        reclaim: askedBack.id,
        wantedBytes: bytes(askedBack.wantedBytes),
        missingBytes: bytes(askedBack.leftBytes),
        levelBytes: bytes(askedBack.levelBytes),
      },
    ];
  }
}
