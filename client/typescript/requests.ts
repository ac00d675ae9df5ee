/**
 * The requests of one stream that wait for an answer. Each settles exactly once: by its answer, by
 * its deadline, or with everything else when the stream ends. An answer that comes after that is
 * counted and dropped.
 */
import { KvspanError } from '../../proto/errors.js';

interface Entry<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: KvspanError) => void;
  readonly timer: NodeJS.Timeout;
}

export class PendingRequests<Answer> {
  readonly #entries = new Map<bigint, Entry<Answer>>();
  #nextId = 1n;
  #lateAnswers = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** Answers that nobody waited for any more. */
  get lateAnswers(): number {
    return this.#lateAnswers;
  }

  /** `what` names the request in the error of its deadline. */
  open(
    what: string,
    deadlineMs: number,
  ): { readonly id: bigint; readonly answer: Promise<Answer> } {
    const id = this.#nextId++;
    const answer = new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.refuse(
          id,
          new KvspanError('DEADLINE_EXCEEDED', `${what}: no answer within ${deadlineMs} ms`),
        );
      }, deadlineMs);
      this.#entries.set(id, { resolve, reject, timer });
    });
    return { id, answer };
  }

  settle(id: bigint, answer: Answer): void {
    this.#take(id)?.resolve(answer);
  }

  refuse(id: bigint, error: KvspanError): void {
    this.#take(id)?.reject(error);
  }

  /** The stream is gone: nothing will be answered any more. */
  refuseAll(error: KvspanError): void {
    for (const id of this.#entries.keys()) this.refuse(id, error);
  }

  #take(id: bigint): Entry<Answer> | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) {
      this.#lateAnswers++;
      return undefined;
    }
    this.#entries.delete(id);
    clearTimeout(entry.timer);
    return entry;
  }
}
