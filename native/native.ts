/**
 * The whole native surface, written by hand: what `native/node` marshals and nothing else. Absent
 * values are `null`, never `undefined`, so that a missing field is told from an intended null.
 * Sizes, addresses and ids are `bigint`; counts that fit an int32 are `number`.
 *
 * Every failure is an Error with `code` (a code of proto/errors.ts), `field` (or ''), and a
 * sentence; `native/index.ts` turns it into a `KvspanError`. A wrong type names its path.
 *
 * Two users: the daemon (`openDevice`, `listen`) and the client (`connect`).
 */

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
  /** Off the event loop. */
  allocate(tokens: number): Promise<AllocateReport>;
  /**
   * If an idle span serves it without a driver call; else slot -1, and `need` is what `allocate`
   * would surely find missing (all zeros: it has to look).
   */
  allocateWarm(tokens: number): AllocateReport;
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
  returnExtents(extentIds: BigUint64Array): void;
  pauseReleases(): void;
  resumeReleases(): void;
  /** Pairs: id, bytes, id, bytes, ... */
  held(): BigUint64Array;
  stats(): NativeSessionStats;
  /** Off the event loop. Destroys the caches, releases everything, reports it, disconnects. */
  close(): Promise<void>;
}

// ── Attention kernels on a GPU ──────────────────────────────────────────────────────────────────

export type KernelDtype = 'bf16' | 'fp16';

export interface KernelDeviceDescription {
  readonly ordinal: number;
  readonly name: string;
  readonly uuid: string;
  readonly driver: string;
  readonly computeMajor: number;
  readonly computeMinor: number;
  readonly multiprocessors: number;
  /** The highest clocks the device allows; what it runs at is not in the driver API. */
  readonly clockKhzMax: number;
  readonly memoryClockKhzMax: number;
  readonly l2Bytes: bigint;
  readonly totalBytes: bigint;
  readonly freeBytes: bigint;
}

/** Heads of one layer. `queryHeads` is any multiple of `kvHeads`; `headDim` is 64, 128 or 256. */
export interface AttentionShape {
  readonly dtype: KernelDtype;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Strides are multiples of 16 bytes; the head dimension is contiguous. */
export interface ContiguousTensor {
  /** Of slot 0, token 0, head 0: of a cache, its base plus the bytes to this layer's K or V. */
  readonly address: bigint;
  readonly slotStrideBytes: bigint;
  readonly tokenStrideBytes: bigint;
  readonly headStrideBytes: bigint;
}

export interface PagedTensor {
  readonly address: bigint;
  readonly pageStrideBytes: bigint;
  /** Within a page. */
  readonly tokenStrideBytes: bigint;
  readonly headStrideBytes: bigint;
}

/** Where K and V of each request lie. `slots` and `blockTable` are int32 arrays on the device. */
export type KvLayout =
  | {
      readonly kind: 'contiguous';
      readonly k: ContiguousTensor;
      readonly v: ContiguousTensor;
      /** The slot of each request. */
      readonly slots: bigint;
    }
  | {
      readonly kind: 'paged';
      readonly k: PagedTensor;
      readonly v: PagedTensor;
      readonly pageTokens: 1 | 16 | 64 | 256;
      /** [requests, blockTableEntries] */
      readonly blockTable: bigint;
      readonly blockTableEntries: number;
    };

/** Rows of queries, outputs or new K and V: a row per token (decode: per request), heads in it. */
export interface RowTensor {
  readonly address: bigint;
  readonly rowStrideBytes: bigint;
  readonly headStrideBytes: bigint;
}

export interface ScoreOptions {
  readonly scale: number;
  /** Scores become softCap x tanh(score / softCap). Null: no cap. */
  readonly softCap: number | null;
  /** How many tokens a query sees, itself among them. Null: all up to itself. */
  readonly window: number | null;
  /** Device address of a float32 per query head, added as slope x (key - query). Null: none. */
  readonly alibiSlopes: bigint | null;
}

/** Row i of a request's n new rows becomes its token `length - n + i`. */
export interface AppendWork {
  readonly kind: 'append';
  readonly shape: AttentionShape;
  readonly kv: KvLayout;
  readonly newK: RowTensor;
  readonly newV: RowTensor;
  readonly requests: number;
  /** All requests' new rows together, at most; sizes the grid. */
  readonly rowsMax: number;
  /** Device int32 [requests]: lengths after the append. */
  readonly lengths: bigint;
  /** Device int32 [requests + 1]: where each request's rows begin. Null: one row a request. */
  readonly rowStarts: bigint | null;
}

/** One query a request: its last token. Lengths are those of the plan's latest `update`. */
export interface DecodeWork {
  readonly kind: 'decode';
  readonly shape: AttentionShape;
  readonly kv: KvLayout;
  /** A row per request. */
  readonly queries: RowTensor;
  readonly out: RowTensor;
  readonly options: ScoreOptions;
  readonly plan: DecodePlan;
}

/** Causal attention of new queries over all tokens so far, their own (appended before) among them. */
export interface PrefillWork {
  readonly kind: 'prefill';
  readonly shape: AttentionShape;
  readonly kv: KvLayout;
  /** A row per query token, all requests' in order. */
  readonly queries: RowTensor;
  readonly out: RowTensor;
  readonly options: ScoreOptions;
  readonly plan: PrefillPlan;
  /** `hopper`: the kernel of sm_90a alone. `fastest`: that where the device and the shape have it. */
  readonly variant: 'fastest' | 'portable' | 'hopper';
}

/** Reads every byte once, as fast as the device can: what a kernel's GB/s are compared with. */
export interface ReadWork {
  readonly kind: 'read';
  readonly address: bigint;
  /** A multiple of 16. */
  readonly bytes: bigint;
}

/** Sets every byte, by the driver. */
export interface FillWork {
  readonly kind: 'fill';
  readonly address: bigint;
  readonly bytes: bigint;
  readonly byte: number;
}

/** Copies within the device, by the driver. */
export interface CopyWork {
  readonly kind: 'copy';
  readonly to: bigint;
  readonly from: bigint;
  readonly bytes: bigint;
}

export type KernelWork = AppendWork | DecodeWork | PrefillWork | ReadWork | FillWork | CopyWork;

export interface DecodePlanOptions {
  readonly shape: AttentionShape;
  readonly requestsMax: number;
  /** No request is longer. */
  readonly tokensMax: number;
  /** The window that the decode will have; null: none. */
  readonly window: number | null;
}

export interface DecodePlanReport {
  readonly blocks: number;
  /** Pieces of work, and how many of them are parts of a split request. */
  readonly items: number;
  readonly parts: number;
  /** Tokens of the block with most of them, over the mean of all blocks. */
  readonly imbalance: number;
}

/** Which thread block computes what. On the device, in buffers whose size the options fix. */
export interface DecodePlan {
  /** Plans and uploads, in the stream's order; a captured graph replays with the latest plan. */
  update(lengths: Int32Array, stream: bigint): DecodePlanReport;
  close(): void;
}

export interface PrefillPlanOptions {
  readonly shape: AttentionShape;
  readonly requestsMax: number;
  /** New tokens of all requests together, at most. */
  readonly queriesMax: number;
  readonly tokensMax: number;
}

export interface PrefillPlan {
  /**
   * `queryStarts` has one more entry than `lengths`: the queries of request r are the rows
   * [queryStarts[r], queryStarts[r + 1]), at the end of its `lengths[r]` tokens.
   */
  update(queryStarts: Int32Array, lengths: Int32Array, stream: bigint): void;
  close(): void;
}

export interface TimeOptions {
  readonly stream: bigint;
  readonly warmups: number;
  readonly runs: number;
  /**
   * Reads this buffer before each run, outside its time, so that L2 holds nothing of use: a few times
   * larger than L2. Not written, since dirty lines would be written back within the run's time.
   */
  readonly flush: { readonly address: bigint; readonly bytes: bigint } | null;
}

/** Launches that were checked once, in order. */
export interface KernelBatch {
  launch(stream: bigint): void;
  /** Turns the batch into a CUDA graph: from now on `launch` and `time` replay it. */
  capture(): void;
  /** Blocks. Microseconds of each run, by events on the device. */
  time(options: TimeOptions): Float64Array;
  close(): void;
}

/**
 * The attention kernels, on the primary context of a CUDA device: that of a session of this process,
 * whose mapped memory they read and write. Plain memory (`allocate`) is the driver's own.
 */
export interface Kernels {
  readonly device: KernelDeviceDescription;
  allocate(bytes: bigint): bigint;
  free(address: bigint): void;
  /** Block until done. */
  copyIn(address: bigint, data: Uint8Array): void;
  copyOut(address: bigint, data: Uint8Array): void;
  createStream(): bigint;
  destroyStream(stream: bigint): void;
  /** Blocks until the stream's work is done; throws what it failed with. */
  synchronize(stream: bigint): void;
  createDecodePlan(options: DecodePlanOptions): DecodePlan;
  createPrefillPlan(options: PrefillPlanOptions): PrefillPlan;
  /** Checks everything that can be checked on the host and loads the kernels. */
  prepare(works: readonly KernelWork[]): KernelBatch;
  /** Frees what was allocated; plans and batches are unusable afterwards. */
  close(): void;
}

export interface KernelsOptions {
  readonly ordinal: number;
  /** Path of libcuda; null: the system's. */
  readonly library: string | null;
  /** Folder of the fatbins: `findKernels()` of native/index.ts. */
  readonly folder: string;
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
