/**
 * Carries out what the ledger decided. The ledger says *grant these extents*; here they are created
 * and sent, the ledger is told how it went, and whoever asked gets the answer.
 */
import { isErrorCode, KvspanError, type ErrorCode } from '../../proto/errors.js';
import type { GrantRequest, Ledger, ReserveRequest } from '../core/ledger.js';
import type { Effect, ExtentSpec, GrantId, Instant, SessionId } from '../core/types.js';
import type { Clock, Timer } from '../ports/clock.js';
import type { ExtentChannel, GrantOutcome } from '../ports/device.js';
import type { Observer } from '../ports/observer.js';
import type { Logger } from '../telemetry/log.js';
import type { Session, Sessions } from './sessions.js';

export interface GrantAnswer {
  readonly grant: GrantId;
  readonly extentCount: number;
  readonly grantedBytes: bigint;
  readonly heldBytes: bigint;
}

export interface PromiseAnswer {
  readonly promise: GrantId;
  readonly promisedBytes: bigint;
}

interface Waiter<Answer> {
  resolve(answer: Answer): void;
  reject(error: KvspanError): void;
}

type GrantEffect = Extract<Effect, { kind: 'grant' }>;
type CutEffect = Extract<Effect, { kind: 'cut' }>;
type OverdueEffect = Extract<Effect, { kind: 'overdue' }>;
type ReclaimEffect = Extract<Effect, { kind: 'reclaim' }>;

export interface EffectPorts {
  readonly ledger: Ledger;
  readonly sessions: Sessions;
  readonly clock: Clock;
  readonly log: Logger;
  readonly ackTimeoutMs: number;
  readonly observer: Observer;
  /** The channel is opened after this runner is made: its events need the runner. */
  channel(): ExtentChannel;
}

const sumBytes = (extents: readonly ExtentSpec[]): bigint =>
  extents.reduce((sum, extent) => sum + extent.bytes, 0n);

function unsent(code: ErrorCode, message: string): GrantOutcome {
  return { importedCount: 0, failure: { code, message } };
}

export class EffectRunner {
  /** By session and grant: who is told. */
  private readonly waiters = new Map<string, Waiter<GrantAnswer>>();
  /** Likewise by promise; no grant has the number of a promise. */
  private readonly hopers = new Map<string, Waiter<PromiseAnswer>>();
  private readonly onItsWay = new Set<Promise<void>>();
  private expiry: Timer | null = null;

  constructor(private readonly ports: EffectPorts) {}

  /**
   * Resolves when the extents are with the client; rejects with the refusal. Throws what the ledger
   * refuses at once.
   */
  acquire(session: Session, request: GrantRequest): Promise<GrantAnswer> {
    const asked = this.ports.clock.now();
    const effects = this.decide(session, request, asked);
    return new Promise((resolve, reject) => {
      this.waiters.set(keyOf(session.id, request.grant), this.observed(asked, { resolve, reject }));
      this.run(effects);
    });
  }

  /** What cannot be granted at all is refused before there is a promise of it. */
  private decide(session: Session, request: GrantRequest, now: Instant): Effect[] {
    try {
      return this.ports.ledger.requestGrant(session.id, request, now);
    } catch (error) {
      if (error instanceof KvspanError) this.ports.observer.refused(error.code, 0);
      throw error;
    }
  }

  private observed(asked: Instant, waiter: Waiter<GrantAnswer>): Waiter<GrantAnswer> {
    const { clock, observer } = this.ports;
    return {
      resolve: answer => {
        observer.granted(answer.grantedBytes, clock.now() - asked);
        waiter.resolve(answer);
      },
      reject: error => {
        observer.refused(error.code, clock.now() - asked);
        waiter.reject(error);
      },
    };
  }

  /** Resolves when the promise is made; rejects with the refusal. */
  reserve(session: Session, request: ReserveRequest): Promise<PromiseAnswer> {
    const { ledger, clock, observer } = this.ports;
    try {
      const effects = ledger.reserve(session.id, request, clock.now());
      return new Promise((resolve, reject) => {
        const told = (error: KvspanError): void => {
          observer.promiseRefused(error.code);
          reject(error);
        };
        this.hopers.set(keyOf(session.id, request.promise), { resolve, reject: told });
        this.run(effects);
      });
    } catch (error) {
      if (error instanceof KvspanError) observer.promiseRefused(error.code);
      throw error;
    }
  }

  /** False: no such grant waits. True: whoever asked for it gets GRANT_CANCELLED. */
  cancel(session: SessionId, grant: GrantId): boolean {
    const { cancelled, effects } = this.ports.ledger.cancelGrant(
      session,
      grant,
      this.ports.clock.now(),
    );
    this.run(effects);
    return cancelled;
  }

  /** In order; never throws. To be called after every change of the ledger, also with no effects. */
  run(effects: readonly Effect[]): void {
    for (const effect of effects) this.runOne(effect);
    this.rearm();
  }

  /** Resolves when no grant is on its way any more. */
  async settled(): Promise<void> {
    while (this.onItsWay.size > 0) await Promise.all(this.onItsWay);
  }

  stop(): void {
    this.expiry?.cancel();
    this.expiry = null;
  }

  private runOne(effect: Effect): void {
    switch (effect.kind) {
      case 'grant':
        this.track(this.grant(effect));
        break;
      case 'refuse':
        this.take(effect.session, effect.grant)?.reject(effect.error);
        this.takeHoper(effect.session, effect.grant)?.reject(effect.error);
        break;
      case 'reclaim':
        this.reclaim(effect);
        break;
      case 'overdue':
        this.overdue(effect);
        break;
      case 'promised':
        this.takeHoper(effect.session, effect.promise)?.resolve({
          promise: effect.promise,
          promisedBytes: effect.bytes,
        });
        break;
      case 'cut':
        this.cut(effect);
        break;
    }
  }

  private track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) =>
        this.ports.log.error({ err: error }, 'a grant could not be settled'),
      )
      .finally(() => this.onItsWay.delete(tracked));
    this.onItsWay.add(tracked);
  }

  private async grant(effect: GrantEffect): Promise<void> {
    const started = this.ports.clock.now();
    const outcome = await this.send(effect);
    const now = this.ports.clock.now();
    if (outcome.importedCount > 0)
      this.ports.observer.delivered(outcome.importedCount, now - started);
    const followUps = this.ports.ledger.grantSettled(
      effect.session,
      effect.grant,
      outcome.importedCount,
      now,
    );
    this.answer(effect, outcome, now - started);
    this.run(followUps);
  }

  private async send(effect: GrantEffect): Promise<GrantOutcome> {
    const session = this.ports.sessions.find(effect.session);
    if (session === null)
      return unsent('SESSION_UNKNOWN', 'the session closed before its extents were sent');
    const ids = BigUint64Array.from(effect.extents, extent => extent.id);
    const sizes = BigUint64Array.from(effect.extents, extent => extent.bytes);
    try {
      return await this.ports
        .channel()
        .grant(session.peer.connection, effect.grant, ids, sizes, this.ports.ackTimeoutMs);
    } catch (error) {
      session.log.error({ grant: effect.grant, err: error }, 'the extent channel failed');
      return unsent('DEVICE_FAILED', error instanceof Error ? error.message : String(error));
    }
  }

  /** A grant that arrived in part is a grant of that part; one of which nothing arrived is refused. */
  private answer(effect: GrantEffect, outcome: GrantOutcome, ms: number): void {
    const waiter = this.take(effect.session, effect.grant);
    const arrived = effect.extents.slice(0, outcome.importedCount);
    const bytes = sumBytes(arrived);
    const log = this.ports.sessions.find(effect.session)?.log ?? this.ports.log;
    const fields = {
      grant: effect.grant,
      extents: arrived.length,
      bytes,
      ms: Math.round(ms * 1000) / 1000,
    };
    if (outcome.failure === null) log.debug(fields, 'granted');
    else
      log.warn(
        { ...fields, code: outcome.failure.code, reason: outcome.failure.message },
        'a grant failed',
      );
    if (arrived.length === 0) {
      waiter?.reject(this.nothingArrived(effect, outcome));
      return;
    }
    const heldBytes = this.heldBytes(effect.session) ?? bytes;
    waiter?.resolve({
      grant: effect.grant,
      extentCount: arrived.length,
      grantedBytes: bytes,
      heldBytes,
    });
  }

  private nothingArrived(effect: GrantEffect, { failure }: GrantOutcome): KvspanError {
    const code = failure !== null && isErrorCode(failure.code) ? failure.code : 'DEVICE_EXHAUSTED';
    const pool = this.ports.ledger.pool();
    return new KvspanError(
      code,
      `grant_id ${effect.grant}: no extent could be sent: ${failure?.message ?? 'unknown'}`,
      {
        askedBytes: sumBytes(effect.extents),
        freeBytes: pool.freeBytes,
        limitBytes: pool.poolBytes,
      },
    );
  }

  /** Null: the session has exited meanwhile. */
  private heldBytes(session: SessionId): bigint | null {
    try {
      return this.ports.ledger.session(session).heldBytes;
    } catch {
      return null;
    }
  }

  private reclaim(effect: ReclaimEffect): void {
    const session = this.ports.sessions.find(effect.session);
    // Without a stream there is no way to ask; the ledger asks others, or again later.
    if (session === null || session.stream === null) return;
    const ms = Math.max(0, Math.ceil(effect.deadline - this.ports.clock.now()));
    session.log.debug(
      { reclaim: effect.reclaim, bytes: effect.wantedBytes, ms, idleOnly: effect.idleOnly },
      'asked to give back',
    );
    this.ports.observer.reclaimAsked(effect.wantedBytes);
    session.stream.reclaim(effect.reclaim, effect.wantedBytes, ms, effect.idleOnly);
  }

  /** Without a stream nobody is told: whoever wants to use the promise finds out. */
  private cut({ session: id, promise, leftBytes, reason }: CutEffect): void {
    const session = this.ports.sessions.find(id);
    session?.log.info({ promise, bytes: leftBytes, reason }, 'a promise was cut');
    session?.stream?.promiseCut(promise, leftBytes, reason);
  }

  /** An operator should know who keeps others from what is theirs. */
  private overdue({ session, reclaim, wantedBytes, missingBytes }: OverdueEffect): void {
    this.ports.observer.overdue(missingBytes);
    const log = this.ports.sessions.find(session)?.log ?? this.ports.log;
    log.warn(
      { reclaim, bytes: wantedBytes, missingBytes },
      "did not give back in time what another tenant's guarantee needs; it is served last",
    );
  }

  private take(session: SessionId, grant: GrantId): Waiter<GrantAnswer> | undefined {
    const key = keyOf(session, grant);
    const waiter = this.waiters.get(key);
    this.waiters.delete(key);
    return waiter;
  }

  private takeHoper(session: SessionId, promise: GrantId): Waiter<PromiseAnswer> | undefined {
    const key = keyOf(session, promise);
    const waiter = this.hopers.get(key);
    this.hopers.delete(key);
    return waiter;
  }

  private rearm(): void {
    this.expiry?.cancel();
    const next = this.ports.ledger.nextExpiry();
    this.expiry =
      next === null
        ? null
        : this.ports.clock.after(next - this.ports.clock.now(), () => this.expire());
  }

  private expire(): void {
    try {
      this.run(this.ports.ledger.expire(this.ports.clock.now()));
    } catch (error) {
      this.ports.log.error({ err: error }, 'waiting grants could not be expired');
    }
  }
}

const keyOf = (session: SessionId, grant: GrantId): string => `${session}/${grant}`;
