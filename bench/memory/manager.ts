/**
 * Who manages the memory of a batch of requests: the one interface behind which all are compared,
 * so that admission, decoding and ending are the same code for each (`replay.ts`).
 */

/** What of the pool is where, in bytes. */
export interface MemoryStats {
  /** Tokens of live requests. */
  readonly liveBytes: number;
  /** Mapped or set aside for live requests, the live tokens included. */
  readonly usedBytes: number;
  /** Taken from the pool and behind no request: there for the next one. */
  readonly idleBytes: number;
}

/** A live request, by its manager's own name for it. */
export type RequestHandle = number;

export interface MemoryManager {
  readonly name: string;
  /** Memory for a prompt of so many tokens, all of it or none: null. */
  admit(tokens: number): RequestHandle | null | Promise<RequestHandle | null>;
  /**
   * Before a pass: the tokens that each live request will have. Who could not grow keeps what it
   * had and is named; the others have grown.
   */
  grow(
    lengths: ReadonlyMap<RequestHandle, number>,
  ): readonly RequestHandle[] | Promise<readonly RequestHandle[]>;
  /** The request has ended or was preempted. */
  free(request: RequestHandle): void;
  stats(): MemoryStats;
  close(): Promise<void>;
}

/** What a manager manages. */
export interface MemoryShape {
  readonly poolBytes: number;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly dtype: 'bf16';
  /** The longest request that must be possible. */
  readonly maxTokens: number;
  /** Requests that may be live at once, whatever memory there is. */
  readonly batchMax: number;
}

const BF16_BYTES = 2;

/** K and V of one token in all layers. */
export const tokenBytesOf = (shape: Pick<MemoryShape, 'layers' | 'kvHeads' | 'headDim'>): number =>
  2 * shape.layers * laneRowBytesOf(shape);

/** K, or V, of one token in one layer. */
export const laneRowBytesOf = (shape: Pick<MemoryShape, 'kvHeads' | 'headDim'>): number =>
  shape.kvHeads * shape.headDim * BF16_BYTES;
