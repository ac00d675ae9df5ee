/** The kernels of a pass, over the layers that are computed. */
import type {
  AttentionShape,
  DecodePlan,
  KernelWork,
  PrefillPlan,
  ScoreOptions,
} from '../../native/index.js';
import type { Gpu } from '../attention/gpu.js';
import { capacityOf, type Pass } from './pass.js';
import type { KvSource } from './sources.js';

const ELEMENT_BYTES = 2;
const INT32_BYTES = 4;

export interface PassTimes {
  /** Microseconds on the device, all computed layers together; 0: there was nothing of the kind. */
  readonly append: number;
  readonly prefill: number;
  readonly decode: number;
  /** On the host: plans, and their way to the device. */
  readonly plan: number;
}

export interface PassLimits {
  readonly requestsMax: number;
  /** New tokens of a pass. */
  readonly rowsMax: number;
  readonly tokensMax: number;
  readonly layersRun: number;
}

interface Plans {
  readonly decode: DecodePlan;
  readonly prefill: PrefillPlan;
}

export class PassKernels {
  readonly #gpu: Gpu;
  readonly #shape: AttentionShape;
  readonly #limits: PassLimits;
  /** By the longest request that they are made for. */
  readonly #plans = new Map<number, Plans>();
  readonly #newK: bigint;
  readonly #newV: bigint;
  readonly #queries: bigint;
  readonly #out: bigint;
  readonly #lengths: bigint;
  readonly #rowStarts: bigint;
  readonly #options: ScoreOptions;

  constructor(gpu: Gpu, shape: AttentionShape, limits: PassLimits) {
    const { requestsMax, rowsMax } = limits;
    this.#gpu = gpu;
    this.#shape = shape;
    this.#limits = limits;
    const filled = (bytes: number): bigint => {
      const address = gpu.allocate(bytes);
      gpu.fill(address, bytes);
      return address;
    };
    this.#newK = filled(rowsMax * this.#rowBytes(shape.kvHeads));
    this.#newV = filled(rowsMax * this.#rowBytes(shape.kvHeads));
    this.#queries = filled(rowsMax * this.#rowBytes(shape.queryHeads));
    this.#out = filled(rowsMax * this.#rowBytes(shape.queryHeads));
    this.#lengths = gpu.allocate(requestsMax * INT32_BYTES);
    this.#rowStarts = gpu.allocate((requestsMax + 1) * INT32_BYTES);
    // All of them beforehand: their making is no part of a pass.
    for (let tokens = 1; tokens < 2 * limits.tokensMax; tokens *= 2) this.#plansFor(tokens);
    const scale = shape.headDim ** -0.5;
    this.#options = { scale, softCap: null, window: null, alibiSlopes: null };
  }

  /** Runs the pass; the source has been told of its requests. */
  run(source: KvSource, pass: Pass): PassTimes {
    const start = performance.now();
    this.#gpu.write(this.#lengths, pass.lengths);
    this.#gpu.write(this.#rowStarts, pass.rowStarts);
    const plans = this.#updatedPlans(pass);
    const plan = (performance.now() - start) * 1000;
    const append = this.#time(layer => this.#append(source, pass, layer));
    const { decodeCount, requests } = pass;
    const prefill =
      requests.length === decodeCount
        ? 0
        : this.#time(layer => this.#prefill(source, decodeCount, layer, plans.prefill));
    const decode =
      decodeCount === 0 ? 0 : this.#time(layer => this.#decode(source, layer, plans.decode));
    return { append, prefill, decode, plan };
  }

  close(): void {
    for (const { decode, prefill } of this.#plans.values()) {
      decode.close();
      prefill.close();
    }
    const rows = [this.#newK, this.#newV, this.#queries, this.#out];
    for (const address of [...rows, this.#lengths, this.#rowStarts]) this.#gpu.free(address);
  }

  #updatedPlans({ decodeCount, lengths, rowStarts }: Pass): Plans {
    const { stream } = this.#gpu;
    const plans = this.#plansFor(Math.max(...lengths));
    if (decodeCount > 0) plans.decode.update(lengths.slice(0, decodeCount), stream);
    if (lengths.length === decodeCount) return plans;
    // The prefill's rows stand behind those of the decode, and are counted from there.
    const starts = rowStarts.slice(decodeCount).map(row => row - decodeCount);
    plans.prefill.update(starts, lengths.slice(decodeCount), stream);
    return plans;
  }

  /** For requests of so many tokens, and some more. */
  #plansFor(tokens: number): Plans {
    const tokensMax = capacityOf(tokens, this.#limits.tokensMax);
    const known = this.#plans.get(tokensMax);
    if (known !== undefined) return known;
    const { requestsMax, rowsMax: queriesMax } = this.#limits;
    const common = { shape: this.#shape, requestsMax, tokensMax };
    const { kernels } = this.#gpu;
    const plans = {
      decode: kernels.createDecodePlan({ ...common, window: null }),
      prefill: kernels.createPrefillPlan({ ...common, queriesMax }),
    };
    this.#plans.set(tokensMax, plans);
    return plans;
  }

  /** Of all layers that are computed, one launch behind the other. */
  #time(workOf: (layer: number) => KernelWork): number {
    const works = Array.from({ length: this.#limits.layersRun }, (_, layer) => workOf(layer));
    const batch = this.#gpu.kernels.prepare(works);
    const { stream } = this.#gpu;
    const [us] = batch.time({ stream, warmups: 0, runs: 1, flush: null });
    batch.close();
    return us as number;
  }

  #append(source: KvSource, pass: Pass, layer: number): KernelWork {
    const { kvHeads } = this.#shape;
    return {
      kind: 'append',
      shape: this.#shape,
      kv: source.layout(layer, 0),
      newK: this.#rows(this.#newK, kvHeads, 0),
      newV: this.#rows(this.#newV, kvHeads, 0),
      requests: pass.requests.length,
      rowsMax: pass.rowStarts.at(-1) as number,
      lengths: this.#lengths,
      rowStarts: this.#rowStarts,
    };
  }

  #prefill(source: KvSource, decodeCount: number, layer: number, plan: PrefillPlan): KernelWork {
    const { queryHeads } = this.#shape;
    return {
      kind: 'prefill',
      shape: this.#shape,
      kv: source.layout(layer, decodeCount),
      queries: this.#rows(this.#queries, queryHeads, decodeCount),
      out: this.#rows(this.#out, queryHeads, decodeCount),
      options: this.#options,
      plan,
      variant: 'fastest',
    };
  }

  #decode(source: KvSource, layer: number, plan: DecodePlan): KernelWork {
    const { queryHeads } = this.#shape;
    return {
      kind: 'decode',
      shape: this.#shape,
      kv: source.layout(layer, 0),
      queries: this.#rows(this.#queries, queryHeads, 0),
      out: this.#rows(this.#out, queryHeads, 0),
      options: this.#options,
      plan,
    };
  }

  #rowBytes(heads: number): number {
    return heads * this.#shape.headDim * ELEMENT_BYTES;
  }

  #rows(address: bigint, heads: number, firstRow: number) {
    return {
      address: address + BigInt(firstRow * this.#rowBytes(heads)),
      rowStrideBytes: BigInt(this.#rowBytes(heads)),
      headStrideBytes: BigInt(this.#rowBytes(1)),
    };
  }
}
