/** What a pass does with the memory: the GPU's kernels where there are any, else real writes. */
import type { Cache } from '../../client/typescript/index.js';
import { type Gpu, openGpu } from '../attention/gpu.js';
import { tensorOf } from '../attention/layouts.js';
import { type Running, writtenOf } from '../demo/scheduler.js';
import { PassKernels } from '../serving-loop/kernels.js';
import type { Pass } from '../serving-loop/pass.js';
import { attentionShape, type KvSource } from '../serving-loop/sources.js';
import type { ServeJob } from './protocol.js';
import { tokenBytesOfModel } from './sizes.js';

export interface PassWork {
  readonly name: 'kernels' | 'writes';
  /** Every new token's K and V are written; with kernels attention is computed too. Ends when done. */
  run(pass: Pass): void;
  /** Of what a request has written, how many tokens that were looked at are something else. */
  check(request: Running): number;
  /** Whose work may still use a slot; null: nothing is pending once `run` is over. */
  readonly stream: bigint | null;
  close(): void;
}

const LAYERS_RUN = 4;
const INT32_BYTES = 4;

/** The process's kernels, opened once: a context and the loading of code take their time. */
export class Worker {
  #gpu: Gpu | null = null;

  open(cache: Cache, job: ServeJob): PassWork {
    if (job.place.device.backend === 'host') return new WriteWork(cache, job);
    try {
      this.#gpu ??= openGpu({ deviceOptions: job.place.device });
    } catch {
      // A driver without kernels (a stand-in): the memory is the same, and so is the way to it.
      return new WriteWork(cache, job);
    }
    return new KernelWork(this.#gpu, cache, job);
  }

  close(): void {
    this.#gpu?.close();
    this.#gpu = null;
  }
}

export class KernelWork implements PassWork {
  readonly name = 'kernels';
  readonly stream: bigint;
  readonly #gpu: Gpu;
  readonly #kernels: PassKernels;
  readonly #source: Pick<KvSource, 'layout'>;
  readonly #slots: bigint;

  constructor(gpu: Gpu, cache: Cache, { engine, maxTokens }: ServeJob) {
    const { model, batchMax, prefillBudget } = engine;
    this.#gpu = gpu;
    this.stream = gpu.stream;
    this.#kernels = new PassKernels(gpu, attentionShape({ ...model, ...unused, maxTokens }), {
      requestsMax: batchMax,
      rowsMax: prefillBudget + batchMax,
      tokensMax: maxTokens,
      layersRun: Math.min(LAYERS_RUN, model.layers),
    });
    const slots = gpu.allocate(batchMax * INT32_BYTES);
    this.#slots = slots;
    this.#source = {
      layout: (layer, first) => ({
        kind: 'contiguous',
        k: tensorOf(cache.key(layer)),
        v: tensorOf(cache.value(layer)),
        slots: slots + BigInt(first * INT32_BYTES),
      }),
    };
  }

  run(pass: Pass): void {
    this.#gpu.write(
      this.#slots,
      Int32Array.from(pass.requests, request => request.slot),
    );
    this.#kernels.run(this.#source as KvSource, pass);
  }

  /** The kernels' results are held to a reference elsewhere. */
  check(): number {
    return 0;
  }

  close(): void {
    this.#kernels.close();
    this.#gpu.free(this.#slots);
  }
}

/** Of a memory shape what says nothing of attention. */
const unused = { poolBytes: 0, batchMax: 0 };

/** Each row begins with whose it is: what another's hand has touched is found out. */
export class WriteWork implements PassWork {
  readonly name = 'writes';
  readonly stream = null;
  readonly #cache: Cache;
  readonly #tokenBytes: number;
  readonly #rows: Uint8Array;
  readonly #stamps: DataView;

  constructor(cache: Cache, { engine }: ServeJob) {
    this.#cache = cache;
    this.#tokenBytes = tokenBytesOfModel(engine.model);
    this.#rows = new Uint8Array(engine.prefillBudget * this.#tokenBytes).fill(0x3e);
    this.#stamps = new DataView(this.#rows.buffer);
  }

  run(pass: Pass): void {
    for (const [index, request] of pass.requests.entries()) {
      const tokens = pass.newTokens[index] as number;
      const first = writtenOf(request);
      for (let token = 0; token < tokens; token += 1)
        this.#stamps.setFloat64(token * this.#tokenBytes, stampOf(request, first + token));
      const rows = this.#rows.subarray(0, tokens * this.#tokenBytes);
      this.#cache.writeTokens(request.slot, first, rows);
    }
  }

  check(request: Running): number {
    const written = writtenOf(request);
    const looked = new Set([0, written >> 1, written - 1]);
    let wrong = 0;
    for (const token of looked) {
      const row = this.#cache.readTokens(request.slot, token, 1);
      const stamp = new DataView(row.buffer, row.byteOffset).getFloat64(0);
      if (stamp !== stampOf(request, token)) wrong += 1;
    }
    return wrong;
  }

  close(): void {}
}

/** Of 53 bits: whose process, and in it which token of which request. */
const stampOf = (request: Running, token: number): number =>
  process.pid * 2 ** 31 + ((request.index * 7919 + token) % 2 ** 31);
