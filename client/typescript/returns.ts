/**
 * Memory on its way back. The native core says which extents it has released; they are told to the
 * daemon in batches, one for each turn of the event loop.
 */
import { KvspanError } from '../../proto/errors.js';

/** Whoever takes what comes back: a session's link, or what is left of it once it was evicted. */
export interface ReturnPath {
  readonly open: boolean;
  /** All or nothing. Returns how many bytes. */
  return(extentIds: readonly bigint[]): Promise<bigint>;
}

/** Extents in one Return message: 32 KiB of ids. */
const RETURN_EXTENTS_MAX = 4096;

interface Expectation {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Returns {
  #queue: bigint[] = [];
  #flushing = false;
  readonly #unacknowledged = new Set<Promise<void>>();
  readonly #expected = new Map<bigint, Expectation>();
  #returnedBytes = 0n;
  #unknownExtents = 0;

  constructor(private readonly link: () => ReturnPath | null) {}

  get returnedBytes(): bigint {
    return this.#returnedBytes;
  }

  /** Extents that the daemon did not have on this session's account. */
  get unknownExtents(): number {
    return this.#unknownExtents;
  }

  /** Nothing waits to be told or to be acknowledged. */
  get told(): boolean {
    return this.#queue.length === 0 && this.#unacknowledged.size === 0;
  }

  /** They are told as soon as somebody can be told. */
  add(extentIds: readonly bigint[]): void {
    for (const id of extentIds) this.#queue.push(id);
    this.resume();
  }

  /** The stream is there, for the first time or again. */
  resume(): void {
    if (this.#flushing || this.#queue.length === 0 || this.link() === null) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  /** The stream is gone: nobody need wait, though what is queued may still be told later. */
  interrupt(error: KvspanError): void {
    for (const { reject } of this.#expected.values()) reject(error);
    this.#expected.clear();
  }

  /** Resolves when the daemon has acknowledged all of these, which are about to be added. */
  async expect(extentIds: readonly bigint[]): Promise<void> {
    const each = extentIds.map(
      id => new Promise<void>((resolve, reject) => this.#expected.set(id, { resolve, reject })),
    );
    await Promise.all(each);
  }

  /** Once all that was added so far is acknowledged, or will never be. */
  async acknowledged(): Promise<void> {
    if (this.#flushing) await Promise.resolve();
    // Not for what comes after: the mapper may return something at every moment.
    await Promise.all(this.#unacknowledged);
  }

  #flush(): void {
    this.#flushing = false;
    const link = this.link();
    if (link === null) return;
    const queue = this.#queue;
    this.#queue = [];
    for (let first = 0; first < queue.length; first += RETURN_EXTENTS_MAX) {
      const sent = this.#send(link, queue.slice(first, first + RETURN_EXTENTS_MAX)).catch(
        () => undefined,
      );
      this.#unacknowledged.add(sent);
      void sent.then(() => this.#unacknowledged.delete(sent));
    }
  }

  /**
   * The daemon takes all of a batch or nothing. What was released while the session was away is told
   * to the next one: a daemon that lived on still has it charged, a new one never heard of it. An
   * extent that it does not know must not keep the rest charged, so a refused batch is halved until
   * the odd one is alone.
   */
  async #send(link: ReturnPath, extentIds: readonly bigint[]): Promise<void> {
    try {
      this.#returnedBytes += await link.return(extentIds);
      this.#acknowledge(extentIds, waiter => waiter.resolve());
    } catch (error) {
      if (!isUnknownExtent(error) || extentIds.length === 1) {
        if (isUnknownExtent(error)) this.#unknownExtents++;
        // Without an answer nobody knows whether it was taken; telling it twice does no harm.
        else this.#queue.push(...extentIds);
        this.#acknowledge(extentIds, waiter => waiter.reject(error));
        // A daemon that was only slow has no new stream to be told on: it is told again on this one.
        if (isLate(error)) this.resume();
        return;
      }
      const middle = extentIds.length >> 1;
      await this.#send(link, extentIds.slice(0, middle));
      await this.#send(link, extentIds.slice(middle));
    }
  }

  #acknowledge(extentIds: readonly bigint[], settle: (waiter: Expectation) => void): void {
    if (this.#expected.size === 0) return;
    for (const id of extentIds) {
      const waiter = this.#expected.get(id);
      this.#expected.delete(id);
      if (waiter !== undefined) settle(waiter);
    }
  }
}

const isLate = (error: unknown): boolean =>
  error instanceof KvspanError && error.code === 'DEADLINE_EXCEEDED';

function isUnknownExtent(error: unknown): boolean {
  if (!(error instanceof KvspanError)) return false;
  return (
    error.code === 'EXTENT_UNKNOWN' ||
    error.code === 'EXTENT_RETURNED' ||
    error.code === 'EXTENT_FOREIGN'
  );
}
