/** The client's public interfaces. Every failure is a `KvspanError` with a code of proto/errors.ts. */
import type { Listener, SessionEvent } from './events.js';
import type { CachePlan, Dtype, Geometry, Layout } from './geometry.js';
import type { OnReclaim } from './reclaiming.js';
import type { Reservation } from './reservations.js';
import type { HeldExtent, ServerInfo } from './service.js';
import type { CacheStats, SessionState, SessionStats } from './stats.js';
import type { Lengths, StepResult } from './stepper.js';
import type { StridedView } from './views.js';

export interface ConnectOptions {
  /** Where the daemon's sockets are. Default: `KVSPAN_SOCKET_DIR`, else as proto/paths.ts says. */
  readonly socketDirectory?: string;
  /**
   * For people: shown in the admin service. A daemon with tenants may tell those of one user apart by
   * it. Printable ASCII, 1 to 63 bytes. Default: the pid.
   */
  readonly name?: string;
  /** Path of libcuda; null: the system's. Default: `KVSPAN_CUDA_LIBRARY`, else the system's. */
  readonly cudaLibrary?: string | null;
  /** CUDA ordinal of the daemon's device in this process. Default: the daemon's own. */
  readonly ordinal?: number;
  /** Magazine (imported, not mapped): below this the mapper asks for more. 0n: never. */
  readonly lowWaterBytes?: bigint;
  /** Magazine: above this the mapper returns extents. 0n: never. */
  readonly highWaterBytes?: bigint;
  /** How long `allocate`, `step` and `acquire` wait for memory unless told otherwise. Default 1,000. */
  readonly grantWaitMs?: number;
  /** For connecting, and for each attempt to connect again. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /**
   * Others wait for memory, and what is idle here has been given back already: `bytes` are missing. The
   * engine preempts requests, frees their slots, and says how many bytes they had; those are given back
   * as soon as the GPU is done with them, within `deadlineMs`. Called for one reclaim at a time, never
   * for idle memory alone.
   */
  readonly onReclaim?: OnReclaim;
  /** Establish the session again when the daemon went away and is back. Default true. */
  readonly reconnect?: boolean;
}

export interface WaitOptions {
  /** Milliseconds; 0: not at all. Default: the session's `grantWaitMs`. */
  readonly waitMs?: number;
}

export interface AllocateOptions extends WaitOptions {
  /**
   * What `reserve` of this cache gave, for no other request yet: the slot takes what it needs of it, at
   * once and whatever others ask for, up to the length reserved.
   */
  readonly reservation?: Reservation;
}

export interface ReserveOptions extends WaitOptions {
  /** For this live slot's request, for what it lacks; default: for the next `allocate`. */
  readonly slot?: number;
  /** Without a request it lapses after so many milliseconds, 1 .. 600,000. Default 30,000. */
  readonly lapseMs?: number;
}

export interface AcquireOptions extends WaitOptions {
  /** The grant may be cut down to no less than this. Default 0n: all or nothing. */
  readonly minimumBytes?: bigint;
}

export interface CacheOptions {
  /** Default `token-major`. */
  readonly layout?: Layout;
  readonly layers: number;
  /** 1 in the latent layout. */
  readonly kvHeads: number;
  readonly headDim: number;
  readonly dtype: Dtype;
  /** Requests that can be live at once. */
  readonly slots: number;
  /** The longest request, in tokens. */
  readonly maxTokens: number;
  /** For people. Printable ASCII, at most 63 bytes. */
  readonly name?: string;
  /** Addresses that the cache would like, a multiple of the page; 0n (default): any. */
  readonly wantedBaseAddress?: bigint;
  /** Default `geometric`: extents grow with the slot, slack stays within 12.5 % + one page. */
  readonly growth?: 'geometric' | 'linear';
  /** Kept mapped past each live slot by the mapper. Default 16. */
  readonly lookaheadTokens?: number;
  /** Mapped past the length, for kernels that read whole tiles (FlashAttention-3: 256). Default 0. */
  readonly overreadTokens?: number;
}

export interface AttendOptions {
  /** Heads of the query, a multiple of kvHeads. Default: as many as one query of this length has. */
  readonly queryHeads?: number;
  /** Default 1 / sqrt(headDim). */
  readonly scale?: number;
}

/**
 * One serving process's standing with a daemon. Once an administrator has evicted it, whatever needs the
 * daemon is refused with SESSION_EVICTED, but for giving back.
 */
export interface Session extends AsyncDisposable {
  /** The daemon's name for it; another one after each re-establishment. */
  readonly id: bigint;
  /** What the daemon serves, and its limits. */
  readonly server: ServerInfo;
  readonly state: SessionState;

  /**
   * Reserves a cache's addresses; takes no memory. INVALID_ARGUMENT (field named),
   * ADDRESS_PLAN_EXHAUSTED, CACHE_LIMIT, DAEMON_UNAVAILABLE.
   */
  createCache(options: CacheOptions): Promise<Cache>;

  /**
   * Memory into the magazine ahead of need: `counts[order]` extents of 2^order pages. Resolves when
   * it is there. POOL_EXHAUSTED, QUOTA_EXHAUSTED, TENANT_LIMIT (with who holds what),
   * DEVICE_EXHAUSTED (others have taken the device's memory; what came of it is in the magazine),
   * DEADLINE_EXCEEDED, DAEMON_UNAVAILABLE.
   */
  acquire(
    counts: number[],
    options?: AcquireOptions,
  ): Promise<{ readonly extentCount: number; readonly grantedBytes: bigint }>;

  /**
   * Returns these extents, all or none of them; resolves when the daemon has them off the account.
   * Only extents of the magazine: EXTENT_MAPPED, EXTENT_RETURNED, EXTENT_UNKNOWN (another
   * session's too), DAEMON_UNAVAILABLE.
   */
  returnExtents(
    ids: bigint[],
  ): Promise<{ readonly extentCount: number; readonly returnedBytes: bigint }>;

  /** Everything held, in the magazine or mapped. */
  extents(): HeldExtent[];

  /**
   * Gives back at least `bytes` if there is as much to spare (magazine, idle spans, look-ahead, in
   * this order). Returns how much it was. Works without a daemon too: the memory is freed.
   */
  giveBack(bytes: bigint): Promise<bigint>;

  stats(): SessionStats;

  /** Returns what takes the listener off again. */
  on<Name extends SessionEvent>(event: Name, listener: Listener<Name>): () => void;

  /**
   * Closes the caches and gives everything back, acknowledged if the daemon is there. Idempotent.
   * Afterwards every method throws CLOSED. A process may end without it: the kernel tells the daemon.
   */
  close(): Promise<void>;
}

/**
 * A KV cache. Slots are used by one caller at a time (the engine's loop): `step`, `free` and the
 * row methods of one slot must not overlap each other. SLOT_UNKNOWN and SLOT_FREED name a slot that
 * is not live.
 */
export interface Cache extends AsyncDisposable {
  readonly geometry: Geometry;
  /** At the addresses that it really has; they never change while it is open. */
  readonly plan: CachePlan;
  /** One token in one lane. */
  readonly rowBytes: number;

  /**
   * A slot for a request with this prompt, mapped as far as that. SLOTS_EXHAUSTED, or, when memory
   * does not come by `waitMs`, POOL_EXHAUSTED, QUOTA_EXHAUSTED, TENANT_LIMIT, DEVICE_EXHAUSTED,
   * DEADLINE_EXCEEDED or DAEMON_UNAVAILABLE; nothing is changed then.
   */
  allocate(promptTokens: number, options?: AllocateOptions): Promise<number>;

  /**
   * Memory for one request to grow to `tokens`, kept free by the daemon: who admits only requests that
   * it has reserved their length for need never preempt one. Takes no memory, but counts as if it
   * did. Give it to `allocate`; `free` of the slot ends it, and so does `release`. `step` draws on it.
   * Within the tenant's guarantee it stands; what is above it is cut when another tenant's guarantee needs
   * the memory (the session's `promiseCut`). INVALID_ARGUMENT (field named), or, when memory does not
   * come by `waitMs`, as `allocate`; nothing is changed then.
   */
  reserve(tokens: number, options?: ReserveOptions): Promise<Reservation>;

  /**
   * The new length of each live slot, before a forward pass: an Int32Array with an entry for every
   * slot (0: not live), or a Map that names only the slots that change. A slot that must grow and
   * finds nothing waits for the daemon up to `waitMs`; what could not grow then is in `shortSlots`
   * and has kept its length. Never throws for lack of memory. Bad input is INVALID_ARGUMENT,
   * SLOT_UNKNOWN or SLOT_FREED, and changes nothing.
   */
  step(lengths: Lengths, options?: WaitOptions): Promise<StepResult>;

  /** The same with nothing but what this process has: synchronous, and never waits. */
  tryStep(lengths: Lengths): StepResult;

  /**
   * The slot's request has ended. `stream`: the CUDA stream (CUstream, of the device's primary
   * context, not destroyed) whose work still uses it; the span is unmapped only after that work.
   */
  free(slot: number, options?: { readonly stream?: bigint }): void;

  /** Of a live slot, in tokens. */
  length(slot: number): number;
  /** Whole tokens mapped; at least `length(slot)`. */
  mappedTokens(slot: number): number;

  /** K of a layer, `[slots, maxTokens, kvHeads, headDim]`; in the latent layout the latent vector. */
  key(layer: number): StridedView;
  /** V of a layer. INVALID_ARGUMENT in the latent layout, which has none. */
  value(layer: number): StridedView;

  /**
   * Dense rows `[tokens, kvHeads, headDim]` within the slot's length; `rows` says how many. On the
   * cuda backend a copy is done when the call returns, but is not ordered with anybody's streams:
   * whoever wants what a kernel writes waits for the kernel first.
   */
  writeKey(layer: number, slot: number, firstToken: number, rows: Uint8Array): void;
  writeValue(layer: number, slot: number, firstToken: number, rows: Uint8Array): void;
  readKey(layer: number, slot: number, firstToken: number, tokens: number): Uint8Array;
  readValue(layer: number, slot: number, firstToken: number, tokens: number): Uint8Array;

  /** Whole rows of all layers, `[tokens, rowBytes]`: token-major and latent layouts only. */
  writeTokens(slot: number, firstToken: number, rows: Uint8Array): void;
  /** `into`: exactly tokens x rowBytes; it is what is returned. */
  readTokens(slot: number, firstToken: number, tokens: number, into?: Uint8Array): Uint8Array;

  /**
   * Causal attention by a dense CPU kernel that knows nothing of pages; bf16 and fp32. `queries` is
   * `[queries, queryHeads, headDim]`, for the last tokens of the slot; so is the result. On the host
   * backend straight on the span, on cuda over rows that are read back first.
   */
  attend(
    layer: number,
    slot: number,
    queries: Float32Array,
    options?: AttendOptions,
  ): Promise<Float32Array>;

  stats(): CacheStats;

  /** Gives the addresses up; the memory goes to the magazine. Idempotent. */
  close(): Promise<void>;
}
