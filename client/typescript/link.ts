/**
 * One established connection to a daemon: the session's stream, its requests and the daemon's
 * events. It ends once, for whatever reason, and is then replaced by another, never revived.
 */
import type { ServiceError } from '@grpc/grpc-js';
import { decodeUint32, decodeUint64, encodeUint64, encodeUint64s } from '../../proto/codec.js';
import { KvspanError } from '../../proto/errors.js';
import type { ExchangeRequest } from '../../proto/generated/kvspan/v1/ExchangeRequest.js';
import type { ExchangeResponse__Output } from '../../proto/generated/kvspan/v1/ExchangeResponse.js';
import { decodeRefusal, errorOfCall } from '../../proto/refusal.js';
import { deferred, within } from './deadline.js';
import { PendingRequests } from './requests.js';
import type { ExchangeStream, ServerInfo, Service } from './service.js';

/** How long any answer may take beyond the time that the request itself allows. */
export const ANSWER_TIMEOUT_MS = 10_000;

export interface GrantRequest {
  readonly grantId: bigint;
  readonly counts: readonly number[];
  /** 0: all or nothing. */
  readonly minimumBytes: bigint;
  /** How long the daemon may let it wait for memory. */
  readonly waitMs: number;
  /** Out of this promise. */
  readonly promiseId?: bigint;
}

export interface PromiseRequest {
  readonly promiseId: bigint;
  readonly cacheId: bigint;
  readonly tokens: number;
  readonly overreadTokens: number;
  /** What the slot has already. */
  readonly mappedBytes: bigint;
  readonly waitMs: number;
  readonly lapseMs: number;
}

export interface Granted {
  readonly extentCount: number;
  readonly grantedBytes: bigint;
}

/** From the extent channel's welcome. */
export interface SessionCredentials {
  readonly sessionId: bigint;
  readonly token: Uint8Array;
}

export interface LinkEvents {
  reclaim(reclaimId: bigint, wantedBytes: bigint, deadlineMs: number, idleOnly: boolean): void;
  promiseCut(promiseId: bigint, leftBytes: bigint, reason: string): void;
  draining(deadlineMs: number): void;
  /** Once. Every request in flight has been refused by then. */
  ended(error: KvspanError): void;
}

export class Link {
  readonly sessionId: bigint;
  readonly service: Service;
  /** What proves to the daemon that a later stream is this session's too. */
  readonly token: Uint8Array;
  readonly server: ServerInfo;
  readonly #stream: ExchangeStream;
  readonly #events: LinkEvents;
  readonly #pending = new PendingRequests<ExchangeResponse__Output>();
  #ended: KvspanError | null = null;
  readonly #ready = deferred<void>();

  private constructor(
    { sessionId, token }: SessionCredentials,
    service: Service,
    server: ServerInfo,
    events: LinkEvents,
  ) {
    this.sessionId = sessionId;
    this.token = token;
    service.authorise(token);
    this.service = service;
    this.server = server;
    this.#events = events;
    this.#stream = service.exchange();
    this.#stream.on('data', (message: ExchangeResponse__Output) => this.#receive(message));
    this.#stream.on('error', (failure: ServiceError) => this.#end(errorOfCall(failure)));
    this.#stream.on('end', () =>
      this.#end(new KvspanError('DAEMON_UNAVAILABLE', 'the daemon ended the stream')),
    );
  }

  /** Opens the stream and waits until the daemon has it registered. Owns the service from then on. */
  static async open(
    credentials: SessionCredentials,
    service: Service,
    server: ServerInfo,
    events: LinkEvents,
    timeoutMs: number,
  ): Promise<Link> {
    const link = new Link(credentials, service, server, events);
    try {
      await within(link.#ready.promise, timeoutMs, 'opening the stream');
    } catch (error) {
      link.close();
      throw error;
    }
    return link;
  }

  get open(): boolean {
    return this.#ended === null;
  }

  get requestsInFlight(): number {
    return this.#pending.size;
  }

  /** Resolves with the daemon's decision; the extents themselves arrive on the extent channel. */
  async acquire(request: GrantRequest): Promise<Granted> {
    const message = {
      acquire: {
        grantId: encodeUint64(request.grantId, 'acquire.grant_id'),
        orderCounts: [...request.counts],
        minimumBytes: encodeUint64(request.minimumBytes, 'acquire.minimum_bytes'),
        waitMs: Math.floor(request.waitMs),
        promiseId: encodeUint64(request.promiseId ?? 0n, 'acquire.promise_id'),
      },
    };
    const answer = await this.#ask('acquire', message, request.waitMs + ANSWER_TIMEOUT_MS);
    const grant = answer.grant;
    if (!grant) throw unexpected('acquire', answer);
    return {
      extentCount: decodeUint32(grant.extentCount, 'grant.extent_count'),
      grantedBytes: decodeUint64(grant.grantedBytes, 'grant.granted_bytes'),
    };
  }

  /** Resolves with how many bytes are promised. */
  async reserve(request: PromiseRequest): Promise<bigint> {
    const message = {
      reserve: {
        promiseId: encodeUint64(request.promiseId, 'reserve.promise_id'),
        cacheId: encodeUint64(request.cacheId, 'reserve.cache_id'),
        tokensCount: request.tokens,
        overreadTokensCount: request.overreadTokens,
        mappedBytes: encodeUint64(request.mappedBytes, 'reserve.mapped_bytes'),
        waitMs: Math.floor(request.waitMs),
        lapseMs: Math.floor(request.lapseMs),
      },
    };
    const answer = await this.#ask('reserve', message, request.waitMs + ANSWER_TIMEOUT_MS);
    const promised = answer.promised;
    if (!promised) throw unexpected('reserve', answer);
    return decodeUint64(promised.promisedBytes, 'promised.promised_bytes');
  }

  /** No more than this is needed of the promise; 0: nothing, which ends it. Renews it. */
  async updatePromise(promiseId: bigint, leftBytes: bigint): Promise<void> {
    const message = {
      promise: {
        promiseId: encodeUint64(promiseId, 'promise.promise_id'),
        leftBytes: encodeUint64(leftBytes, 'promise.left_bytes'),
      },
    };
    await this.#ask('promise', message, ANSWER_TIMEOUT_MS);
  }

  /** Extents that were unmapped and released here. All or nothing. Returns how many bytes. */
  async return(extentIds: readonly bigint[]): Promise<bigint> {
    const message = { return: { extentIds: encodeUint64s(extentIds, 'return.extent_ids') } };
    const answer = await this.#ask('return', message, ANSWER_TIMEOUT_MS);
    const returned = answer.returned;
    if (!returned) throw unexpected('return', answer);
    return decodeUint64(returned.returnedBytes, 'returned.returned_bytes');
  }

  /** False: the grant was answered already. */
  async cancel(grantId: bigint): Promise<boolean> {
    const message = { cancel: { grantId: encodeUint64(grantId, 'cancel.grant_id') } };
    const answer = await this.#ask('cancel', message, ANSWER_TIMEOUT_MS);
    return answer.cancelled?.cancelled ?? false;
  }

  async reportReclaim(reclaimId: bigint, returnedBytes: bigint): Promise<void> {
    const message = {
      reclaimReport: {
        reclaimId: encodeUint64(reclaimId, 'reclaim_report.reclaim_id'),
        returnedBytes: encodeUint64(returnedBytes, 'reclaim_report.returned_bytes'),
      },
    };
    await this.#ask('reclaim report', message, ANSWER_TIMEOUT_MS);
  }

  /** Ends it from this side; `ended` is called for it too, unless it ended before. */
  close(
    error = new KvspanError('DAEMON_UNAVAILABLE', 'the connection to the daemon was closed'),
  ): void {
    this.#stream.end();
    this.#stream.cancel();
    this.#end(error);
  }

  #ask(
    what: string,
    message: ExchangeRequest,
    deadlineMs: number,
  ): Promise<ExchangeResponse__Output> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const { id, answer } = this.#pending.open(what, deadlineMs);
    this.#stream.write({ requestId: encodeUint64(id, 'request_id'), ...message });
    return answer;
  }

  #receive(message: ExchangeResponse__Output): void {
    try {
      this.#dispatch(message);
    } catch (cause) {
      // What cannot be read cannot be trusted: the link ends, the session makes another.
      this.close(
        new KvspanError('PROTOCOL', `unreadable message from the daemon: ${String(cause)}`, {
          cause,
        }),
      );
    }
  }

  #dispatch(message: ExchangeResponse__Output): void {
    const requestId = decodeUint64(message.requestId, 'request_id');
    if (message.ready) return this.#ready.resolve();
    if (message.reclaim) {
      const { reclaimId, wantedBytes, deadlineMs, idleOnly } = message.reclaim;
      const wanted = decodeUint64(wantedBytes, 'reclaim.wanted_bytes');
      return this.#events.reclaim(
        decodeUint64(reclaimId, 'reclaim.reclaim_id'),
        wanted,
        deadlineMs,
        idleOnly,
      );
    }
    if (message.promiseCut) {
      const { promiseId, leftBytes, reason } = message.promiseCut;
      const left = decodeUint64(leftBytes, 'promise_cut.left_bytes');
      return this.#events.promiseCut(
        decodeUint64(promiseId, 'promise_cut.promise_id'),
        left,
        reason,
      );
    }
    if (message.draining) return this.#events.draining(message.draining.deadlineMs);
    if (message.refusal) return this.#pending.refuse(requestId, decodeRefusal(message.refusal));
    this.#pending.settle(requestId, message);
  }

  #end(error: KvspanError): void {
    if (this.#ended !== null) return;
    this.#ended = gone(error);
    this.#ready.reject(error);
    this.#pending.refuseAll(this.#ended);
    this.service.close();
    this.#events.ended(error);
  }
}

/** What ends more than this connection: no other will do. */
const finalCodes: ReadonlySet<string> = new Set(['CLOSED', 'SESSION_EVICTED']);

/** Whatever ended the link, to a request in flight it means that the daemon is not there. */
function gone(error: KvspanError): KvspanError {
  if (finalCodes.has(error.code) || error.code === 'DAEMON_UNAVAILABLE') return error;
  return new KvspanError(
    'DAEMON_UNAVAILABLE',
    `the connection to the daemon ended: ${error.message}`,
    { cause: error },
  );
}

function unexpected(what: string, answer: ExchangeResponse__Output): KvspanError {
  return new KvspanError(
    'PROTOCOL',
    `${what}: the daemon answered with ${String(answer.response)}`,
  );
}
