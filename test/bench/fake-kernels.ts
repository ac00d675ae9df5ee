/**
 * A `Kernels` with no GPU behind it: it computes nothing, and takes nothing on trust. Every address
 * that a work names must lie in memory that was allocated (or that `foreign` vouches for), for every
 * token of every request, found through the slots or the block table that were uploaded.
 */
import { readFileSync } from 'node:fs';
import type {
  ContiguousTensor,
  DecodePlan,
  KernelBatch,
  Kernels,
  KernelWork,
  KvLayout,
  PagedTensor,
  PrefillPlan,
  TimeOptions,
} from '../../native/native.js';

const GIB = 1024n ** 3n;
/** Where no process of this machine has memory. */
const FIRST_ADDRESS = 1n << 60n;
export const FAKE_US = 100;

interface Planned {
  readonly lengths: Int32Array;
  readonly tokensMax: number;
}

export class FakeKernels implements Kernels {
  readonly device = {
    ordinal: 0,
    name: 'fake',
    uuid: '',
    driver: '',
    computeMajor: 9,
    computeMinor: 0,
    multiprocessors: 4,
    clockKhzMax: 1,
    memoryClockKhzMax: 1,
    l2Bytes: 1024n * 1024n,
    totalBytes: 80n * GIB,
    freeBytes: 80n * GIB,
  };
  /** The kinds of work launched or timed, in order. */
  readonly ran: KernelWork['kind'][] = [];
  readonly #allocations = new Map<bigint, { bytes: bigint; data: Buffer | null }>();
  readonly #foreign: (address: bigint, bytes: bigint) => boolean;
  readonly #plans = new Map<object, Planned>();
  #next = FIRST_ADDRESS;

  constructor(foreign: (address: bigint, bytes: bigint) => boolean = () => false) {
    this.#foreign = foreign;
  }

  /** What was allocated and not freed. */
  get leaked(): number {
    return this.#allocations.size;
  }

  allocate(bytes: bigint): bigint {
    if (bytes <= 0n) throw new Error(`allocate: ${bytes} bytes`);
    const address = this.#next;
    this.#next += ((bytes >> 8n) + 2n) << 8n;
    this.#allocations.set(address, { bytes, data: null });
    return address;
  }

  free(address: bigint): void {
    if (!this.#allocations.delete(address)) throw new Error(`free: ${address} is not allocated`);
  }

  copyIn(address: bigint, data: Uint8Array): void {
    this.#check('copyIn', address, BigInt(data.byteLength));
    const found = this.#allocations.get(address);
    if (found === undefined) return;
    found.data = Buffer.from(data);
  }

  copyOut(): void {}
  createStream(): bigint {
    return 7n;
  }
  destroyStream(): void {}
  synchronize(): void {}

  createDecodePlan({ tokensMax, requestsMax }: { tokensMax: number; requestsMax: number }) {
    const plan = {
      update: (lengths: Int32Array) => {
        this.#remember(plan, lengths, tokensMax, requestsMax);
        return { blocks: 1, items: 1, parts: 0, imbalance: 1 };
      },
      close: () => void this.#plans.delete(plan),
    } satisfies DecodePlan;
    return plan;
  }

  createPrefillPlan(options: { tokensMax: number; requestsMax: number; queriesMax: number }) {
    const { tokensMax, requestsMax, queriesMax } = options;
    const plan = {
      update: (starts: Int32Array, lengths: Int32Array) => {
        if (starts.length !== lengths.length + 1 || starts[0] !== 0)
          throw new Error(`prefill: starts ${starts.join(',')} of ${lengths.length} requests`);
        if ((starts.at(-1) as number) > queriesMax) throw new Error('prefill: too many queries');
        this.#remember(plan, lengths, tokensMax, requestsMax);
      },
      close: () => void this.#plans.delete(plan),
    } satisfies PrefillPlan;
    return plan;
  }

  prepare(works: readonly KernelWork[]): KernelBatch {
    for (const work of works) this.#checkWork(work);
    const run = () => this.ran.push(...works.map(work => work.kind));
    return {
      launch: run,
      capture: () => {},
      time: ({ runs }: TimeOptions) => {
        run();
        return new Float64Array(runs).fill(FAKE_US);
      },
      close: () => {},
    };
  }

  close(): void {
    this.#allocations.clear();
  }

  #remember(plan: object, lengths: Int32Array, tokensMax: number, requestsMax: number): void {
    if (lengths.length > requestsMax || Math.max(...lengths) > tokensMax)
      throw new Error(`plan: ${lengths.length} requests of up to ${Math.max(...lengths)} tokens`);
    this.#plans.set(plan, { lengths: Int32Array.from(lengths), tokensMax });
  }

  #checkWork(work: KernelWork): void {
    if (work.kind === 'read' || work.kind === 'fill')
      this.#check(work.kind, work.address, work.bytes);
    else if (work.kind === 'copy') {
      this.#check('copy from', work.from, work.bytes);
      this.#check('copy to', work.to, work.bytes);
    } else if (work.kind === 'append') {
      this.#checkKv(work.kv, this.#int32(work.lengths).subarray(0, work.requests));
    } else {
      const planned = this.#plans.get(work.plan);
      if (planned === undefined) throw new Error(`${work.kind}: the plan was never updated`);
      // As the host refuses it: a later plan may have requests that are so long.
      if (
        work.kv.kind === 'paged' &&
        work.kv.blockTableEntries * work.kv.pageTokens < planned.tokensMax
      )
        throw new Error(`${work.kind}: a table too narrow for ${planned.tokensMax} tokens`);
      this.#checkKv(work.kv, planned.lengths);
    }
  }

  #checkKv(kv: KvLayout, lengths: Int32Array): void {
    for (const [request, tokens] of lengths.entries()) {
      for (let token = 0; token < tokens; token += 1) {
        for (const tensor of [kv.k, kv.v])
          this.#check(
            `token ${token} of request ${request}`,
            this.#at(kv, tensor, request, token),
            16n,
          );
      }
    }
  }

  #at(
    kv: KvLayout,
    tensor: ContiguousTensor | PagedTensor,
    request: number,
    token: number,
  ): bigint {
    if (kv.kind === 'contiguous') {
      const { address, slotStrideBytes, tokenStrideBytes } = tensor as ContiguousTensor;
      const slot = BigInt(this.#int32(kv.slots)[request] as number);
      return address + slot * slotStrideBytes + BigInt(token) * tokenStrideBytes;
    }
    const { address, pageStrideBytes, tokenStrideBytes } = tensor as PagedTensor;
    const entry = request * kv.blockTableEntries + Math.floor(token / kv.pageTokens);
    const page = BigInt(this.#int32(kv.blockTable)[entry] as number);
    return address + page * pageStrideBytes + BigInt(token % kv.pageTokens) * tokenStrideBytes;
  }

  /** What was uploaded, from this address on. */
  #int32(address: bigint): Int32Array {
    for (const [base, { bytes, data }] of this.#allocations) {
      if (address < base || address >= base + bytes || data === null) continue;
      const from = Number(address - base);
      return new Int32Array(Uint8Array.from(data.subarray(from)).buffer);
    }
    throw new Error(`nothing was uploaded at ${address}`);
  }

  #check(what: string, address: bigint, bytes: bigint): void {
    if (bytes <= 0n) throw new Error(`${what}: ${bytes} bytes`);
    for (const [base, allocation] of this.#allocations)
      if (address >= base && address + bytes <= base + allocation.bytes) return;
    if (!this.#foreign(address, bytes))
      throw new Error(`${what}: ${bytes} bytes at ${address} lie outside`);
  }
}

/** Whether memory can be written in this process, by what the kernel says: spans of the host backend. */
export function mappedHere(): (address: bigint, bytes: bigint) => boolean {
  let ranges: (readonly [bigint, bigint])[] = [];
  const within = (address: bigint, bytes: bigint): boolean =>
    ranges.some(([from, to]) => address >= from && address + bytes <= to);
  return (address, bytes) => {
    if (within(address, bytes)) return true;
    ranges = writableRanges();
    return within(address, bytes);
  };
}

/** Neighbours are joined: a span is one range, whatever extents lie behind it. */
function writableRanges(): (readonly [bigint, bigint])[] {
  const ranges: [bigint, bigint][] = [];
  for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    const found = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
    if (found === null) continue;
    const [from, to] = [BigInt(`0x${found[1]}`), BigInt(`0x${found[2]}`)];
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === from) last[1] = to;
    else ranges.push([from, to]);
  }
  return ranges;
}
