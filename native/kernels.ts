/**
 * The part of the native surface (native.ts) that runs attention kernels on a GPU. Strides and sizes
 * are in bytes, addresses are the device's.
 */

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
