/**
 * No request ends the daemon. In grpc-js a handler that throws loses its reason and an async one
 * that rejects kills the process, so every handler runs inside one of these.
 */
import {
  Metadata,
  status,
  type handleUnaryCall,
  type ServerUnaryCall,
  type StatusObject,
} from '@grpc/grpc-js';
import { KvspanError } from '../../proto/errors.js';
import { REFUSAL_METADATA_KEY, serialiseRefusal } from '../../proto/refusal.js';
import type { Observer } from '../ports/observer.js';
import type { Random } from '../ports/tokens.js';
import type { Logger } from '../telemetry/log.js';

export interface Guard {
  readonly log: Logger;
  readonly observer: Observer;
  readonly random: Random;
}

/**
 * What the caller is told: a KvspanError is an answer; anything else is a fault of ours, told as an
 * incident whose id finds the line in the log.
 */
export function refusalOf(
  error: unknown,
  method: string,
  { log, observer, random }: Guard,
): KvspanError {
  if (error instanceof KvspanError) {
    log.debug({ method, code: error.code, field: error.field }, error.message);
    return error;
  }
  const incident = random.incident();
  observer.fault(method);
  log.error({ method, incident, err: error }, 'a request met a fault');
  return new KvspanError('INTERNAL', `internal error, incident ${incident}: see the daemon's log`, {
    cause: error,
  });
}

/** grpc-js's name for a status number, so that the number is one that it knows. */
const grpcCode = (code: number): status => status[status[code] as keyof typeof status];

/** The status of a unary call or of a stream's end: the refusal's sentence, the refusal beside it. */
export function statusOf(refusal: KvspanError): Partial<StatusObject> & Error {
  const metadata = new Metadata();
  metadata.set(REFUSAL_METADATA_KEY, serialiseRefusal(refusal));
  return Object.assign(new Error(refusal.message), {
    code: grpcCode(refusal.grpcStatus),
    details: refusal.message,
    metadata,
  });
}

function safeStatusOf(error: unknown, method: string, guard: Guard): Partial<StatusObject> & Error {
  try {
    return statusOf(refusalOf(error, method, guard));
  } catch (fault) {
    guard.log.error({ method, err: fault }, 'a refusal could not be written');
    return Object.assign(new Error('internal error'), {
      code: status.INTERNAL,
      details: 'internal error',
    });
  }
}

/** A handler as it is written: returns or throws, now or later. */
export type UnaryHandler<Request, Response> = (
  request: Request,
  call: ServerUnaryCall<Request, Response>,
) => Response | Promise<Response>;

export function guardUnary<Request, Response>(
  method: string,
  guard: Guard,
  handler: UnaryHandler<Request, Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const answer = async (): Promise<void> => {
      try {
        callback(null, await handler(call.request, call));
      } catch (error) {
        callback(safeStatusOf(error, method, guard));
      }
    };
    answer().catch((error: unknown) =>
      guard.log.error({ method, err: error }, 'an answer could not be sent'),
    );
  };
}

/** What of a stream the guard needs: grpc-js turns its `error` event into the stream's status. */
interface Endable {
  emit(event: 'error', error: Error): boolean;
}

/** Runs a stream's handler, or the handler of one of its events; a throw ends that stream alone. */
export function guardStream(method: string, guard: Guard, call: Endable, action: () => void): void {
  try {
    action();
  } catch (error) {
    endWith(call, error, method, guard);
  }
}

export function endWith(call: Endable, error: unknown, method: string, guard: Guard): void {
  call.emit('error', safeStatusOf(error, method, guard));
}
