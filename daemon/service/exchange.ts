/**
 * A session's stream: requests in, answers and the daemon's events out. A bad request is answered
 * and ends nothing. A client that does not read its answers is not read from either.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { decodeUint64, encodeUint32, encodeUint64 } from '../../proto/codec.js';
import { badField, KvspanError } from '../../proto/errors.js';
import type { ExchangeRequest__Output } from '../../proto/generated/kvspan/v1/ExchangeRequest.js';
import type { ExchangeResponse } from '../../proto/generated/kvspan/v1/ExchangeResponse.js';
import { encodeRefusal } from '../../proto/refusal.js';
import type { GrantId } from '../core/types.js';
import { endWith, guardStream, refusalOf, type Guard } from './guard.js';
import type { ServiceContext } from './context.js';
import type { EventSink, Session } from './sessions.js';
import {
  decodeAcquire,
  decodeGrantId,
  decodeUpdatePromise,
  decodeReserve,
  decodeReturn,
  encodeGrant,
  encodePromised,
  encodeReturned,
} from './wire.js';

const METHOD = 'Exchange';
/**
 * Messages that may lie unread at the client before the stream is ended. Reading stops long before
 * (at the first that does not fit), so only answers to what was taken and events come to this.
 */
export const BACKLOG_MESSAGES_MAX = 1024;

type Call = ServerDuplexStream<ExchangeRequest__Output, ExchangeResponse>;
type Answer = Omit<ExchangeResponse, 'requestId'>;

export class ExchangeStream implements EventSink {
  private readonly guard: Guard;
  /** Grants and promises that this stream asked for and that are not answered. */
  private readonly waiting = new Set<GrantId>();
  private inFlight = 0;
  private halfClosed = false;
  private ended = false;

  constructor(
    private readonly call: Call,
    private readonly session: Session,
    private readonly context: ServiceContext,
  ) {
    this.guard = { ...context, log: session.log };
  }

  start(): void {
    const { call } = this;
    const { heldBytes, limitBytes } = this.context.ledger.session(this.session.id);
    this.send(0n, {
      ready: {
        sessionId: encodeUint64(this.session.id, 'ready.session_id'),
        heldBytes: encodeUint64(heldBytes, 'ready.held_bytes'),
        limitBytes: encodeUint64(limitBytes, 'ready.limit_bytes'),
      },
    });
    call.on('data', (request: ExchangeRequest__Output) =>
      guardStream(METHOD, this.guard, call, () => this.take(request)),
    );
    call.on('end', () => guardStream(METHOD, this.guard, call, () => this.halfClose()));
    // Also comes after an ordinary end: the transport is done with the stream.
    call.on('cancelled', () => guardStream(METHOD, this.guard, call, () => this.gone()));
    call.on('drain', () => {
      if (!this.ended) call.resume();
    });
  }

  reclaim(reclaim: bigint, wantedBytes: bigint, deadlineMs: number, idleOnly: boolean): void {
    this.send(0n, {
      reclaim: {
        reclaimId: encodeUint64(reclaim, 'reclaim.reclaim_id'),
        wantedBytes: encodeUint64(wantedBytes, 'reclaim.wanted_bytes'),
        deadlineMs: encodeUint32(deadlineMs, 'reclaim.deadline_ms'),
        idleOnly,
      },
    });
  }

  promiseCut(promise: bigint, leftBytes: bigint, reason: string): void {
    this.send(0n, {
      promiseCut: {
        promiseId: encodeUint64(promise, 'promise_cut.promise_id'),
        leftBytes: encodeUint64(leftBytes, 'promise_cut.left_bytes'),
        reason,
      },
    });
  }

  draining(deadlineMs: number): void {
    this.send(0n, { draining: { deadlineMs: encodeUint32(deadlineMs, 'draining.deadline_ms') } });
  }

  close(error: unknown): void {
    if (this.ended) return;
    this.ended = true;
    endWith(this.call, error, METHOD, this.guard);
  }

  private take(request: ExchangeRequest__Output): void {
    if (this.ended) return;
    const id = decodeUint64(request.requestId, 'request_id');
    try {
      if (id === 0n) throw badField('request_id', id, 'not 0, which marks events');
      this.carryOut(id, request);
    } catch (error) {
      this.refuse(id, error);
    }
  }

  private carryOut(id: bigint, request: ExchangeRequest__Output): void {
    const { ledger, effects, clock } = this.context;
    if (request.acquire) {
      this.acquire(id, request.acquire);
    } else if (request.return) {
      const { returned, effects: followUps } = ledger.returnExtents(
        this.session.id,
        decodeReturn(request.return),
        clock.now(),
      );
      this.send(id, { returned: encodeReturned(returned) });
      effects.run(followUps);
    } else if (request.cancel) {
      const cancelled = effects.cancel(this.session.id, decodeGrantId(request.cancel.grantId));
      this.send(id, { cancelled: { cancelled } });
    } else if (request.reclaimReport) {
      const reclaim = decodeUint64(request.reclaimReport.reclaimId, 'reclaim_id');
      effects.run(ledger.reclaimReported(this.session.id, reclaim, clock.now()));
      this.send(id, { reclaimNoted: {} });
    } else if (request.reserve) {
      this.reserve(id, request.reserve);
    } else if (request.promise) {
      const { promise, leftBytes } = decodeUpdatePromise(request.promise);
      effects.run(ledger.keepPromise(this.session.id, promise, leftBytes, clock.now()));
      this.send(id, { promiseNoted: {} });
    } else {
      const allowed = 'one of acquire, return, cancel, reclaim_report, reserve, promise';
      throw badField('request', 'none', allowed);
    }
  }

  private acquire(id: bigint, wire: NonNullable<ExchangeRequest__Output['acquire']>): void {
    this.checkInFlight('acquire');
    const request = decodeAcquire(wire);
    const granted = this.context.effects.acquire(this.session, request);
    this.answerLater(id, request.grant, granted, answer => ({ grant: encodeGrant(answer) }));
  }

  private reserve(id: bigint, wire: NonNullable<ExchangeRequest__Output['reserve']>): void {
    this.checkInFlight('reserve');
    const request = decodeReserve(wire);
    const promised = this.context.effects.reserve(this.session, request);
    this.answerLater(id, request.promise, promised, answer => ({
      promised: encodePromised(answer),
    }));
  }

  private checkInFlight(field: string): void {
    const limit = this.context.config.requestsInFlightMax;
    if (this.inFlight < limit) return;
    throw new KvspanError(
      'GRANT_LIMIT',
      `${field}: ${this.inFlight} requests of this stream wait for an answer, limit ${limit}`,
      { field },
    );
  }

  private answerLater<T>(
    id: bigint,
    grant: GrantId,
    decided: Promise<T>,
    encode: (answer: T) => Answer,
  ): void {
    this.inFlight += 1;
    this.waiting.add(grant);
    void decided
      .then(answer => this.send(id, encode(answer)))
      .catch((error: unknown) => this.refuse(id, error))
      .finally(() => this.answered(grant));
  }

  private answered(grant: GrantId): void {
    this.waiting.delete(grant);
    this.inFlight -= 1;
    if (this.halfClosed) this.endIfDone();
  }

  private refuse(id: bigint, error: unknown): void {
    this.send(id, { refusal: encodeRefusal(refusalOf(error, METHOD, this.guard)) });
  }

  private send(id: bigint, answer: Answer): void {
    if (this.ended || this.call.cancelled) return;
    if (this.call.writableLength >= BACKLOG_MESSAGES_MAX) {
      this.session.log.warn({ method: METHOD }, 'a client does not read its stream');
      this.close(
        new KvspanError(
          'GRANT_LIMIT',
          `${BACKLOG_MESSAGES_MAX} messages of this stream were not read, limit ${BACKLOG_MESSAGES_MAX}`,
        ),
      );
      return;
    }
    const room = this.call.write({ requestId: encodeUint64(id, 'request_id'), ...answer });
    if (!room) this.call.pause();
  }

  /** The client asks nothing more; it still gets its answers. */
  private halfClose(): void {
    this.halfClosed = true;
    this.endIfDone();
  }

  private endIfDone(): void {
    if (this.ended || this.inFlight > 0) return;
    this.ended = true;
    this.call.end();
  }

  /** Nobody reads any more: what waits on this stream's behalf would be granted to nobody. */
  private gone(): void {
    this.ended = true;
    if (this.session.stream === this) this.session.stream = null;
    if (this.context.sessions.find(this.session.id) === null) return;
    for (const grant of this.waiting) this.context.effects.cancel(this.session.id, grant);
  }
}

export function exchangeHandler(context: ServiceContext): (call: Call) => void {
  return call =>
    guardStream(METHOD, context, call, () => {
      const session = context.sessions.authenticate(call.metadata);
      if (session.stream !== null) {
        throw new KvspanError(
          'STREAM_EXISTS',
          `session ${session.id} has a stream already, limit 1`,
        );
      }
      const stream = new ExchangeStream(call, session, context);
      session.stream = stream;
      stream.start();
    });
}
