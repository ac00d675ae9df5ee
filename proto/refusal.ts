/**
 * KvspanError <-> Refusal. On the stream a refusal is a message; beside the status of a unary call
 * it travels as binary metadata, so that both carry the same numbers.
 */
import type { Metadata } from '@grpc/grpc-js';
import { decodeUint32, decodeUint64, encodeUint32, encodeUint64, UINT64_MAX } from './codec.js';
import { GrpcStatus, isErrorCode, KvspanError, type ErrorCode, type Holder } from './errors.js';
import type { Holder__Output } from './generated/kvspan/v1/Holder.js';
import type { Refusal__Output, Refusal as WireRefusal } from './generated/kvspan/v1/Refusal.js';
import { loadPackage } from './load.js';

/** Every MemoryService call but GetServerInfo carries the session's token under this key. */
export const TOKEN_METADATA_KEY = 'kvspan-session-token-bin';
/** The trailer with a serialised `Refusal`. */
export const REFUSAL_METADATA_KEY = 'kvspan-refusal-bin';

/** HTTP/2 bounds the trailers as a whole: the largest holders are enough to know whom to ask. */
const TRAILER_HOLDERS_MAX = 16;

/** What was asked may be more than any field holds (a cache of 2^80 bytes); the sentence has the number. */
const saturated = (bytes: bigint | null): bigint =>
  bytes !== null && bytes > UINT64_MAX ? UINT64_MAX : (bytes ?? 0n);

export function encodeRefusal(error: KvspanError): WireRefusal {
  return {
    code: error.code,
    message: error.message,
    field: error.field,
    retryable: error.retryable,
    askedBytes: encodeUint64(saturated(error.askedBytes), 'refusal.asked_bytes'),
    freeBytes: encodeUint64(saturated(error.freeBytes), 'refusal.free_bytes'),
    limitBytes: encodeUint64(saturated(error.limitBytes), 'refusal.limit_bytes'),
    holders: error.holders.slice(0, TRAILER_HOLDERS_MAX).map(holder => ({
      sessionId: encodeUint64(holder.sessionId, 'refusal.holders.session_id'),
      pid: encodeUint32(holder.pid, 'refusal.holders.pid'),
      heldBytes: encodeUint64(holder.heldBytes, 'refusal.holders.held_bytes'),
    })),
  };
}

const decodeHolder = (wire: Holder__Output): Holder => ({
  sessionId: decodeUint64(wire.sessionId, 'refusal.holders.session_id'),
  pid: decodeUint32(wire.pid, 'refusal.holders.pid'),
  heldBytes: decodeUint64(wire.heldBytes, 'refusal.holders.held_bytes'),
});

/** A code that this build does not know (a newer daemon's) becomes PROTOCOL, its text kept. */
export function decodeRefusal(wire: Refusal__Output): KvspanError {
  const known = isErrorCode(wire.code);
  const code: ErrorCode = known ? (wire.code as ErrorCode) : 'PROTOCOL';
  return new KvspanError(code, known ? wire.message : `${wire.code}: ${wire.message}`, {
    field: wire.field,
    askedBytes: decodeUint64(wire.askedBytes, 'refusal.asked_bytes'),
    freeBytes: decodeUint64(wire.freeBytes, 'refusal.free_bytes'),
    limitBytes: decodeUint64(wire.limitBytes, 'refusal.limit_bytes'),
    holders: wire.holders.map(decodeHolder),
  });
}

/** The bytes of the trailer `kvspan-refusal-bin`. */
export const serialiseRefusal = (error: KvspanError): Buffer =>
  loadPackage().Refusal.serialize(encodeRefusal(error));

const codeOfStatus: Readonly<Record<number, ErrorCode>> = {
  [GrpcStatus.CANCELLED]: 'GRANT_CANCELLED',
  [GrpcStatus.INVALID_ARGUMENT]: 'INVALID_ARGUMENT',
  [GrpcStatus.DEADLINE_EXCEEDED]: 'DEADLINE_EXCEEDED',
  [GrpcStatus.PERMISSION_DENIED]: 'PERMISSION_DENIED',
  [GrpcStatus.UNAVAILABLE]: 'DAEMON_UNAVAILABLE',
  [GrpcStatus.UNAUTHENTICATED]: 'SESSION_UNKNOWN',
};

interface GrpcFailure {
  readonly code: number;
  readonly details: string;
  readonly metadata?: Metadata;
}

/**
 * What a failed call means: the refusal in its trailer if there is one (the daemon decided), else
 * the gRPC status alone (the transport failed).
 */
export function errorOfCall(failure: GrpcFailure): KvspanError {
  const trailer = failure.metadata?.get(REFUSAL_METADATA_KEY)[0];
  if (Buffer.isBuffer(trailer)) {
    try {
      return decodeRefusal(loadPackage().Refusal.deserialize(trailer));
    } catch (cause) {
      return new KvspanError('PROTOCOL', `unreadable refusal beside: ${failure.details}`, {
        cause,
      });
    }
  }
  const code = codeOfStatus[failure.code] ?? 'PROTOCOL';
  // grpc-js ends a sentence with this even if it has no note.
  const details = failure.details.replace(/\.? Resolution note: $/, '');
  return new KvspanError(code, `gRPC status ${failure.code}: ${details}`, { cause: failure });
}
