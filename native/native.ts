/**
 * The whole native surface, written by hand: what `native/node` marshals and nothing else. Absent
 * values are `null`, never `undefined`, so that a missing field is told from an intended null.
 * Sizes, addresses and ids are `bigint`; counts that fit an int32 are `number`.
 *
 * Every failure is an Error with `code` (a code of proto/errors.ts), `field` (or ''), and a
 * sentence; `native/index.ts` turns it into a `KvspanError`. A wrong type names its path.
 *
 * Two users: the daemon (`openDevice`, `listen`) and the client (`connect`). The attention kernels,
 * for whoever has a GPU, are in kernels.ts.
 */

import type { Kernels, KernelsOptions } from './kernels.js';

export type * from './kernels.js';

export type Backend = 'host' | 'cuda';

export interface DeviceOptions {
  readonly backend: Backend;
  readonly ordinal: number;
  /** Path of libcuda; null: the system's `libcuda.so.1`. */
  readonly library: string | null;
}

export interface DeviceDescription {
  readonly backend: Backend;
  readonly ordinal: number;
  readonly name: string;
  readonly uuid: string;
  readonly driver: string;
  readonly granularityBytes: bigint;
  readonly totalBytes: bigint;
  readonly freeBytes: bigint;
}

/** One of ten counts: how many extents of 2^index pages. */
export type OrderCounts = Uint32Array;

// ── The daemon's side ───────────────────────────────────────────────────────────────────────────

export interface NativeDevice {
  describe(): DeviceDescription;
  close(): void;
}

export interface Peer {
  readonly connection: number;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** The client's own name for itself. */
  readonly name: string;
}

export type ChannelServerEvent =
  /** A client has said hello; answer with `welcome` or `refuse`. */
  | { readonly kind: 'hello'; readonly peer: Peer }
  /** The connection is gone (closed, or the peer broke the protocol: `reason`). */
  | { readonly kind: 'closed'; readonly connection: number; readonly reason: string }
  /** The peer's process has exited; always after `closed`, and once for each welcomed connection. */
  | { readonly kind: 'exited'; readonly connection: number };

export interface GrantOutcome {
  /** Of the grant's extents, from the first, how many the client holds now. */
  readonly importedCount: number;
  /** Why the rest is not: released, never to be used. Null: all were imported. */
  readonly failure: { readonly code: string; readonly message: string } | null;
}

export interface ChannelServer {
  welcome(connection: number, sessionId: bigint, token: Uint8Array, servicePath: string): void;
  refuse(connection: number, code: string, message: string): void;
  /**
   * Creates the extents on the device, sends them in batches and, once a batch is acknowledged,
   * releases the daemon's own handles: from then on the client's import is what keeps the memory.
   * `ackTimeoutMs` per batch; a peer that overruns it is disconnected. Never rejects for what a
   * client or the device does: that is an outcome.
   */
  grant(
    connection: number,
    grantId: bigint,
    extentIds: BigUint64Array,
    extentBytes: BigUint64Array,
    ackTimeoutMs: number,
  ): Promise<GrantOutcome>;
  disconnect(connection: number): void;
  /**
   * Ends the peer's process by SIGKILL, through its pidfd: never another process that has its number by
   * now. Nothing if it has exited. PERMISSION_DENIED if this process may not.
   */
  kill(connection: number): void;
  /** Of a closed connection whose process holds nothing of it: its exit is not waited for. */
  forget(connection: number): void;
  close(): void;
}

export interface ListenOptions {
  readonly device: NativeDevice;
  readonly path: string;
  /** Permission bits of the socket file, e.g. 0o600. */
  readonly mode: number;
  readonly connectionsMax: number;
  /** Time a connection has to say hello. */
  readonly helloTimeoutMs: number;
}

// ── The client's side ───────────────────────────────────────────────────────────────────────────

export interface SessionOptions {
  readonly device: DeviceOptions;
  readonly lowWaterBytes: bigint;
  readonly highWaterBytes: bigint;
}

export type NativeSessionEvent =
  /** The mapper wants a refill; answer with `refillDone`. */
  | { readonly kind: 'need'; readonly counts: OrderCounts }
  /** Extents were released: tell the daemon. */
  | { readonly kind: 'returned'; readonly extentIds: BigUint64Array }
  /** All extents of a grant were imported (or not: `failure`) and are in the magazine. */
  | {
      readonly kind: 'granted';
      readonly grantId: bigint;
      readonly importedCount: number;
      readonly failure: string | null;
    }
  /** The channel to the daemon is gone; spans stay usable. */
  | { readonly kind: 'closed'; readonly reason: string };

export interface ChannelWelcome {
  readonly sessionId: bigint;
  readonly token: Uint8Array;
  readonly servicePath: string;
}

export interface CachePlan {
  readonly wantedBase: bigint;
  readonly totalBytes: bigint;
  readonly laneCount: number;
  readonly rowBytes: bigint;
  readonly slotStrideBytes: bigint;
  readonly laneStrideBytes: bigint;
  readonly slotCount: number;
  readonly maxTokens: number;
}

export interface CacheOptions {
  readonly growth: 'geometric' | 'linear';
  readonly lookaheadTokens: number;
  readonly overreadTokens: number;
}

/** `NativeCache.step`'s answer. */
export const StepOutcome = { Nothing: 0, Ahead: 1, MappedNow: 2, Short: 3 } as const;

export interface StepDetail {
  readonly driverCalls: number;
  readonly shortSlots: Int32Array;
  readonly need: OrderCounts;
}

export interface AllocateReport {
  /** -1: not enough memory; nothing was changed; `need` says what a refill must bring. */
  readonly slot: number;
  readonly mappedBytes: bigint;
  readonly warm: boolean;
  readonly need: OrderCounts;
}

export interface StepCount {
  readonly count: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

export interface CacheStats {
  readonly liveSlots: number;
  readonly idleSlots: number;
  readonly mappedBytes: bigint;
  readonly idleBytes: bigint;
  readonly liveBytes: bigint;
  readonly mappedExtents: number;
  readonly stepsWithDriverCall: number;
  readonly steps: {
    readonly nothing: StepCount;
    readonly ahead: StepCount;
    readonly mappedNow: StepCount;
    readonly short: StepCount;
    readonly all: StepCount;
  };
}

export interface NativeSessionStats {
  readonly magazineBytes: bigint;
  readonly magazineExtents: number;
  readonly heldBytes: bigint;
  readonly heldExtents: number;
  readonly mapperMaps: number;
  readonly pendingUnmapBytes: bigint;
}

export interface NativeCache {
  readonly base: bigint;
  /** A StepOutcome. `lengths` as `Cache::step` in native/core/span/session.hpp: one per slot. */
  step(lengths: Int32Array): number;
  /** Of the latest step; read it only if the outcome is MappedNow or Short. */
  stepDetail(): StepDetail;
  /**
   * Off the event loop. If memory is short it waits up to `patienceMs` for extents to arrive and
   * maps them where they do; another `allocate` of the session, `hurry` and `destroy` end the wait.
   */
  allocate(tokens: number, patienceMs: number): Promise<AllocateReport>;
  /** The same as if `promise` had been called: it may take what is kept. */
  allocatePromised(tokens: number, patienceMs: number): Promise<AllocateReport>;
  /** Allocations that wait look once more and report. */
  hurry(): void;
  /**
   * If an idle span serves it without a driver call; else slot -1, and `need` is what `allocate`
   * would surely find missing (all zeros: it has to look).
   */
  allocateWarm(tokens: number): AllocateReport;
  /**
   * Memory to grow is promised to this live slot's request, or is not any more: it may take what is
   * kept (`NativeSession.keep`), and what it has mapped ahead is not given back.
   */
  promise(slot: number, promised: boolean): void;
  free(slot: number, stream: bigint | null): void;
  length(slot: number): number;
  mappedTokens(slot: number): number;
  write(
    slot: number,
    lane: number,
    firstToken: number,
    tokens: number,
    offset: number,
    width: number,
    data: Uint8Array,
  ): void;
  read(
    slot: number,
    lane: number,
    firstToken: number,
    tokens: number,
    offset: number,
    width: number,
    data: Uint8Array,
  ): void;
  /**
   * One query over the slot's tokens [0, length) by the dense CPU kernel, straight on the mapped
   * memory; host backend only. Off the event loop. `kOffset`, `vOffset`: bytes into the row.
   * A slot freed while it is read stays mapped until the reader is done (`free` with a stream waits
   * for the reader itself); `destroy` and the session's `close` wait for readers too.
   */
  attend(slot: number, request: AttendRequest): Promise<Float32Array>;
  stats(): CacheStats;
  /** Off the event loop. */
  destroy(): Promise<void>;
}

export interface AttendRequest {
  readonly dtype: 'bf16' | 'fp32';
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly kLane: number;
  readonly vLane: number;
  readonly kOffset: number;
  readonly vOffset: number;
  readonly scale: number;
  /** queries x queryHeads x headDim; query i attends to tokens [0, length - queries + 1 + i). */
  readonly queries: Float32Array;
}

/** As AttendRequest over rows in a buffer: K at `kOffset` + t x `rowBytes`, tokens t of `length`. */
export interface AttendBufferRequest extends Omit<AttendRequest, 'kLane' | 'vLane'> {
  readonly length: number;
  readonly rowBytes: number;
}

export interface NativeSession {
  readonly device: DeviceDescription;
  /** Connects to a daemon's extent channel; again after `closed`. Off the event loop. */
  connect(path: string, name: string, timeoutMs: number): Promise<ChannelWelcome>;
  disconnect(): void;
  createCache(plan: CachePlan, options: CacheOptions): NativeCache;
  refillDone(retryAfterMs: number): void;
  /** Off the event loop. Bytes released; the ids come by the `returned` event, before this resolves. */
  giveBack(bytes: bigint): Promise<bigint>;
  /** So much more of the magazine, and of what is on its way, is for slots with a promise; or less. */
  keep(bytes: bigint): void;
  unkeep(bytes: bigint): void;
  returnExtents(extentIds: BigUint64Array): void;
  pauseReleases(): void;
  resumeReleases(): void;
  /** Pairs: id, bytes, id, bytes, ... */
  held(): BigUint64Array;
  stats(): NativeSessionStats;
  /** Off the event loop. Destroys the caches, releases everything, reports it, disconnects. */
  close(): Promise<void>;
}

// ── What the machine says ───────────────────────────────────────────────────────────────────────

export interface UsageQuery {
  readonly backend: Backend;
  /** cuda: of the device; null on the host backend. */
  readonly uuid: string | null;
  /** cuda: path of libcuda; NVML is looked for beside it, then in the system. */
  readonly library: string | null;
  readonly processes: Int32Array;
}

/** Of a device's memory, as the driver (NVML) or the kernel says it. */
export interface DeviceUsage {
  readonly totalBytes: bigint;
  /** By anybody: other programs, contexts, the driver itself. */
  readonly usedBytes: bigint;
  readonly freeBytes: bigint;
  /** Of each process asked about: what it has of kvspan's memory; USAGE_UNSEEN: it cannot be seen. */
  readonly heldBytes: BigUint64Array;
}

// ── Both, and tests ─────────────────────────────────────────────────────────────────────────────

/** The raw calls of a device, for benchmarks' floors: each returns the microseconds it took. */
export interface RawDevice {
  create(bytes: bigint): { readonly handle: bigint; readonly us: number };
  /** Export, and import of the same fd in this process. */
  exportImport(
    handle: bigint,
    bytes: bigint,
  ): { readonly handle: bigint; readonly exportUs: number; readonly importUs: number };
  reserve(bytes: bigint): { readonly address: bigint; readonly us: number };
  map(address: bigint, handle: bigint, bytes: bigint): number;
  access(address: bigint, bytes: bigint): number;
  unmap(address: bigint, bytes: bigint): number;
  release(handle: bigint): number;
  unreserve(address: bigint, bytes: bigint): number;
  close(): void;
}

export interface NativeModule {
  readonly napiVersion: number;
  openDevice(options: DeviceOptions): NativeDevice;
  /** An open server keeps the process alive; `close` blocks until its threads have ended. */
  listen(options: ListenOptions, onEvent: (event: ChannelServerEvent) => void): ChannelServer;
  /**
   * Opens the device and starts the mapper; does not connect yet. Keeps the process alive only
   * while one of its promises is pending.
   */
  openSession(options: SessionOptions, onEvent: (event: NativeSessionEvent) => void): NativeSession;
  openRawDevice(options: DeviceOptions): RawDevice;
  /** Throws DEVICE_UNAVAILABLE without a driver or device that can run them, or without fatbins. */
  openKernels(options: KernelsOptions): Kernels;
  /** Off the event loop, one after the other. DEVICE_UNAVAILABLE: there is nobody to ask. */
  readUsage(query: UsageQuery): Promise<DeviceUsage>;
  attendBuffer(data: Uint8Array, request: AttendBufferRequest): Promise<Float32Array>;
  /** A stream of the host backend whose work is begun and ended by hand; for tests and the demo. */
  createHostStream(): bigint;
  hostStreamSubmit(stream: bigint): void;
  hostStreamComplete(stream: bigint): void;
  /** One `fcntl(F_DUPFD_CLOEXEC)` that grows the fd table once, so that it never stalls later. */
  growFdTable(count: number): void;
  /** Takes an advisory lock on the file (flock, non-blocking); null: somebody has it. */
  lockFile(path: string): { readonly release: () => void } | null;
  setUmask(mask: number): number;
}
