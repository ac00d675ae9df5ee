/**
 * The closed set of errors: code, gRPC status, whether trying again can help. Every refusal of the
 * daemon, every failure of the native core and every error the client raises carries one of these
 * codes; the message holds the numbers (asked, free, limit, who holds the rest).
 */

/** The gRPC status numbers that kvspan uses (https://grpc.io/docs/guides/status-codes/). */
export const GrpcStatus = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

export interface ErrorEntry {
  readonly status: (typeof GrpcStatus)[keyof typeof GrpcStatus];
  /** The same request may succeed later, nothing else changed by the caller. */
  readonly retryable: boolean;
}

const { INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED } =
  GrpcStatus;
const {
  FAILED_PRECONDITION,
  INTERNAL,
  UNAVAILABLE,
  UNAUTHENTICATED,
  DEADLINE_EXCEEDED,
  CANCELLED,
} = GrpcStatus;

const entry = (status: ErrorEntry['status'], retryable = false): ErrorEntry => ({
  status,
  retryable,
});

export const errorTable = {
  // Requests.
  INVALID_ARGUMENT: entry(INVALID_ARGUMENT),
  SESSION_UNKNOWN: entry(UNAUTHENTICATED),
  SESSION_EVICTED: entry(PERMISSION_DENIED),
  SESSION_LIMIT: entry(RESOURCE_EXHAUSTED, true),
  TENANT_UNKNOWN: entry(PERMISSION_DENIED),
  REVISION_STALE: entry(FAILED_PRECONDITION),
  STREAM_EXISTS: entry(ALREADY_EXISTS),
  CACHE_UNKNOWN: entry(NOT_FOUND),
  CACHE_LIMIT: entry(RESOURCE_EXHAUSTED),
  ADDRESS_PLAN_EXHAUSTED: entry(RESOURCE_EXHAUSTED, true),
  EXTENT_UNKNOWN: entry(NOT_FOUND),
  EXTENT_FOREIGN: entry(PERMISSION_DENIED),
  EXTENT_RETURNED: entry(FAILED_PRECONDITION),
  EXTENT_MAPPED: entry(FAILED_PRECONDITION),
  GRANT_DUPLICATE: entry(ALREADY_EXISTS),
  GRANT_LIMIT: entry(RESOURCE_EXHAUSTED, true),
  GRANT_CANCELLED: entry(CANCELLED),
  PROMISE_UNKNOWN: entry(NOT_FOUND),
  // Memory.
  POOL_EXHAUSTED: entry(RESOURCE_EXHAUSTED, true),
  QUOTA_EXHAUSTED: entry(RESOURCE_EXHAUSTED, true),
  TENANT_LIMIT: entry(RESOURCE_EXHAUSTED, true),
  DEVICE_EXHAUSTED: entry(RESOURCE_EXHAUSTED, true),
  DEADLINE_EXCEEDED: entry(DEADLINE_EXCEEDED, true),
  // The client's own state.
  SLOT_UNKNOWN: entry(INVALID_ARGUMENT),
  SLOT_FREED: entry(FAILED_PRECONDITION),
  SLOTS_EXHAUSTED: entry(RESOURCE_EXHAUSTED, true),
  CLOSED: entry(FAILED_PRECONDITION),
  // The other side.
  PERMISSION_DENIED: entry(PERMISSION_DENIED),
  DAEMON_UNAVAILABLE: entry(UNAVAILABLE, true),
  DRAINING: entry(UNAVAILABLE, true),
  PROTOCOL: entry(INTERNAL),
  DEVICE_UNAVAILABLE: entry(FAILED_PRECONDITION),
  DEVICE_FAILED: entry(INTERNAL),
  INTERNAL: entry(INTERNAL),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorTable;

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code);
}

/** Who holds memory; the largest first. */
export interface Holder {
  readonly sessionId: bigint;
  readonly pid: number;
  readonly heldBytes: bigint;
}

export interface KvspanErrorDetail {
  /** The request's field at fault, or ''. */
  readonly field?: string;
  readonly askedBytes?: bigint;
  readonly freeBytes?: bigint;
  readonly limitBytes?: bigint;
  readonly holders?: readonly Holder[];
  readonly cause?: unknown;
}

/** The one error class of kvspan: what went wrong as a code, and the numbers that explain it. */
export class KvspanError extends Error {
  override readonly name = 'KvspanError';
  readonly code: ErrorCode;
  readonly field: string;
  readonly askedBytes: bigint | null;
  readonly freeBytes: bigint | null;
  readonly limitBytes: bigint | null;
  readonly holders: readonly Holder[];

  constructor(code: ErrorCode, message: string, detail: KvspanErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.field = detail.field ?? '';
    this.askedBytes = detail.askedBytes ?? null;
    this.freeBytes = detail.freeBytes ?? null;
    this.limitBytes = detail.limitBytes ?? null;
    this.holders = detail.holders ?? [];
  }

  /** The same request may succeed later, nothing else changed by the caller. */
  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }

  get grpcStatus(): number {
    return errorTable[this.code].status;
  }
}

/** Bad input: names the field, what was given and what is allowed. */
export function badField(field: string, given: unknown, allowed: string): KvspanError {
  return new KvspanError('INVALID_ARGUMENT', `${field}: got ${show(given)}, allowed: ${allowed}`, {
    field,
  });
}

function show(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
  }
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return `${value}`;
  if (value === null) return 'null';
  return typeof value === 'object' ? Object.prototype.toString.call(value) : typeof value;
}
