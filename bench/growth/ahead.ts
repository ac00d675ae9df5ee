/** The engine's side of the background thread that maps per-layer pages ahead. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { KvspanError } from '../../proto/errors.js';
import { type AheadStart, Command, Word } from './ahead-protocol.js';

/** Of the same build: beside this file, in the build of a checkout, or in a bundle. */
const BESIDE = ['./ahead-worker.js', '../../build/ts/bench/growth/ahead-worker.js'];
const FROM_CLI = '../../bench/growth/ahead-worker.js';

function workerFile(): string {
  const cli = process.env['KVSPAN_CLI'];
  const candidates = [
    ...(cli === undefined ? [] : [join(cli, '..', FROM_CLI)]),
    ...BESIDE.map(path => fileURLToPath(new URL(path, import.meta.url))),
  ];
  const found = candidates.find(existsSync);
  if (found !== undefined) return found;
  throw new KvspanError(
    'DEVICE_UNAVAILABLE',
    `the mapping thread is not built; looked for ${candidates.join(', ')}: npm run build`,
  );
}

export class AheadThread {
  readonly #words: Int32Array;
  readonly #worker: Worker;

  private constructor(words: Int32Array, worker: Worker) {
    this.#words = words;
    this.#worker = worker;
  }

  /** Resolves once the first pages are mapped. */
  static async start(start: Omit<AheadStart, 'words'>): Promise<AheadThread> {
    const shared = new SharedArrayBuffer(4 * (Word.firstSlot + start.slots));
    const words = new Int32Array(shared);
    const worker = new Worker(workerFile(), { workerData: { ...start, words } });
    await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    return new AheadThread(words, worker);
  }

  /** One page more in every lane of these slots; returns at once. */
  grow(slots: readonly number[]): void {
    for (const [index, slot] of slots.entries()) this.#words[Word.firstSlot + index] = slot;
    this.#words[Word.count] = slots.length;
    this.#command(Command.grow);
  }

  /** Blocks until everything that was asked for is mapped; throws if something could not be. */
  wait(): void {
    this.#waitUntilDone();
    if (Atomics.load(this.#words, Word.failed) === 1)
      throw new KvspanError(
        'DEVICE_EXHAUSTED',
        'the mapping thread could not map what was asked for',
      );
  }

  #waitUntilDone(): void {
    const asked = Atomics.load(this.#words, Word.asked);
    for (;;) {
      const done = Atomics.load(this.#words, Word.done);
      if (done === asked) return;
      Atomics.wait(this.#words, Word.done, done);
    }
  }

  /** Back to the first pages. */
  reset(): void {
    this.#command(Command.reset);
    this.wait();
  }

  async close(): Promise<void> {
    this.#command(Command.end);
    this.#waitUntilDone();
    await this.#worker.terminate();
  }

  #command(command: number): void {
    this.#words[Word.command] = command;
    Atomics.add(this.#words, Word.asked, 1);
    Atomics.notify(this.#words, Word.asked);
  }
}
