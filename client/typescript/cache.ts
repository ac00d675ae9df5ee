/** A KV cache of a session: slots, their lengths, and the rows in them. */
import { badField, KvspanError } from '../../proto/errors.js';
import { now } from './deadline.js';
import type { GrantWish } from './grants.js';
import { type CachePlan, type Geometry, type Place, placeOf } from './geometry.js';
import type { NativeCache } from './mapping/memory.js';
import { attend, readRows, wholeRow, writeRows } from './mapping/rows.js';
import { allocateWith, type Attempt, type Looking, type RefillOutcome, Refills } from './refill.js';
import type { CacheStats } from './stats.js';
import { AHEAD, type Lengths, NOTHING, Stepper, type StepResult } from './stepper.js';
import type { AttendOptions, Cache, WaitOptions } from './types.js';
import * as validate from './validate.js';
import { type StridedView, viewOf } from './views.js';

const RESOLVED_NOTHING = Promise.resolve(NOTHING);
const RESOLVED_AHEAD = Promise.resolve(AHEAD);

/** What a cache needs of its session. */
export interface CacheOwner {
  readonly backend: 'host' | 'cuda';
  readonly pageBytes: bigint;
  readonly grantWaitMs: number;
  readonly connected: boolean;
  /** Grants asked for by anybody of the session and not settled. */
  readonly grantsInFlight: number;
  /** Resolves once the memory is in the magazine. */
  fetch(wish: GrantWish): Promise<void>;
  /** For a step's refill, which outlives the step that began it. */
  fetchUnhurried(wish: GrantWish): Promise<void>;
  /** Tells the daemon, if it is there. */
  cacheClosed(cache: SessionCache): Promise<void>;
}

export class SessionCache implements Cache {
  readonly geometry: Geometry;
  readonly plan: CachePlan;
  readonly rowBytes: number;
  readonly name: string;
  /** The daemon's; another one after each re-establishment. */
  cacheId: bigint;
  readonly #owner: CacheOwner;
  readonly #native: NativeCache;
  readonly #stepper: Stepper;
  readonly #refills: Refills;
  #closing: Promise<void> | null = null;

  constructor(
    owner: CacheOwner,
    native: NativeCache,
    cacheId: bigint,
    name: string,
    geometry: Geometry,
    plan: CachePlan,
  ) {
    this.geometry = geometry;
    this.plan = Object.freeze({ ...plan, baseAddress: native.base });
    this.rowBytes = Number(plan.rowBytes);
    this.name = name;
    this.cacheId = cacheId;
    this.#owner = owner;
    this.#native = native;
    this.#stepper = new Stepper(native, geometry.slots, geometry.maxTokens);
    this.#refills = new Refills(wish => owner.fetchUnhurried(wish));
  }

  get closed(): boolean {
    return this.#closing !== null;
  }

  async allocate(promptTokens: number, options: WaitOptions = {}): Promise<number> {
    this.#open('allocate');
    validate.count('promptTokens', promptTokens, 1, this.geometry.maxTokens);
    const deadline = now() + validate.waitMs(options.waitMs, this.#owner.grantWaitMs);
    const warm = this.#native.allocateWarm(promptTokens);
    if (warm.slot >= 0) return this.#started(warm.slot, promptTokens);
    const looking: Looking = {
      attempt: patienceMs => this.#allocateOffLoop(promptTokens, patienceMs),
      hurry: () => {
        if (!this.closed) this.#native.hurry();
      },
      alone: () => this.#owner.grantsInFlight === 1 && !this.#stepper.allocating,
      ask: (counts, signal) => {
        const waitMs = Math.max(0, deadline - now());
        // All or nothing: a part of a prompt's memory would help nobody, and others lack it.
        return this.#owner.fetch({ counts, minimumBytes: 0n, waitMs, signal });
      },
    };
    // Surely missing: asked for at once, without a look on another thread first.
    const known = warm.need.some(count => count > 0) ? Array.from(warm.need) : null;
    return allocateWith(looking, known);
  }

  step(lengths: Lengths, options?: WaitOptions): Promise<StepResult> {
    try {
      const waitMs =
        options === undefined
          ? undefined
          : validate.waitMs(options.waitMs, this.#owner.grantWaitMs);
      const result = this.tryStep(lengths);
      if (result === NOTHING) return RESOLVED_NOTHING;
      if (result === AHEAD) return RESOLVED_AHEAD;
      if (result.outcome !== 'short') return Promise.resolve(result);
      return this.#refillAndRetry(result, waitMs ?? this.#owner.grantWaitMs);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  tryStep(lengths: Lengths): StepResult {
    if (this.#closing !== null) this.#open('step');
    return this.#stepper.step(lengths);
  }

  free(slot: number, options: { readonly stream?: bigint } = {}): void {
    this.#open('free');
    this.#slot(slot);
    const stream = options.stream === undefined ? null : validate.bytes('stream', options.stream);
    this.#native.free(slot, stream);
    this.#stepper.ended(slot);
  }

  length(slot: number): number {
    this.#open('length');
    return this.#native.length(this.#slot(slot));
  }

  mappedTokens(slot: number): number {
    this.#open('mappedTokens');
    return this.#native.mappedTokens(this.#slot(slot));
  }

  key(layer: number): StridedView {
    this.#open('key');
    return viewOf(this.geometry, this.plan, layer, 'key');
  }

  value(layer: number): StridedView {
    this.#open('value');
    return viewOf(this.geometry, this.plan, layer, 'value');
  }

  writeKey(layer: number, slot: number, firstToken: number, rows: Uint8Array): void {
    this.#open('writeKey');
    this.#write(placeOf(this.geometry, layer, 'key'), slot, firstToken, rows);
  }

  writeValue(layer: number, slot: number, firstToken: number, rows: Uint8Array): void {
    this.#open('writeValue');
    this.#write(placeOf(this.geometry, layer, 'value'), slot, firstToken, rows);
  }

  readKey(layer: number, slot: number, firstToken: number, tokens: number): Uint8Array {
    this.#open('readKey');
    return this.#read(placeOf(this.geometry, layer, 'key'), slot, firstToken, tokens);
  }

  readValue(layer: number, slot: number, firstToken: number, tokens: number): Uint8Array {
    this.#open('readValue');
    return this.#read(placeOf(this.geometry, layer, 'value'), slot, firstToken, tokens);
  }

  writeTokens(slot: number, firstToken: number, rows: Uint8Array): void {
    this.#open('writeTokens');
    this.#write(wholeRow(this.geometry), slot, firstToken, rows);
  }

  readTokens(slot: number, firstToken: number, tokens: number, into?: Uint8Array): Uint8Array {
    this.#open('readTokens');
    return this.#read(wholeRow(this.geometry), slot, firstToken, tokens, into);
  }

  async attend(
    layer: number,
    slot: number,
    queries: Float32Array,
    options: AttendOptions = {},
  ): Promise<Float32Array> {
    this.#open('attend');
    const { headDim, kvHeads } = this.geometry;
    if (!(queries instanceof Float32Array)) throw badField('queries', queries, 'a Float32Array');
    const queryHeads = validate.count('queryHeads', options.queryHeads ?? queries.length / headDim);
    if (queryHeads % kvHeads !== 0)
      throw badField('queryHeads', queryHeads, `a multiple of kvHeads, ${kvHeads}`);
    const count = queries.length / (queryHeads * headDim);
    if (!Number.isInteger(count) || count < 1 || count > this.length(slot)) {
      throw badField(
        'queries.length',
        queries.length,
        `queries x ${queryHeads} heads x ${headDim}, 1 .. ${this.length(slot)} queries`,
      );
    }
    const scale = options.scale ?? 1 / Math.sqrt(headDim);
    return attend(this.#native, this.#owner.backend, this.geometry, layer, slot, {
      queryHeads,
      scale,
      queries,
    });
  }

  stats(): CacheStats {
    this.#open('stats');
    return this.#native.stats();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#native.destroy();
    await this.#owner.cacheClosed(this);
  }

  async #allocateOffLoop(tokens: number, patienceMs: number): Promise<Attempt> {
    this.#open('allocate');
    this.#stepper.allocationBegins();
    try {
      const report = await this.#native.allocate(tokens, patienceMs);
      if (report.slot >= 0) this.#started(report.slot, tokens);
      return { slot: report.slot, need: Array.from(report.need) };
    } finally {
      this.#stepper.allocationEnds();
    }
  }

  #started(slot: number, tokens: number): number {
    this.#stepper.started(slot, tokens);
    return slot;
  }

  /** A short step asks the daemon, and tries again as long as something may have come. */
  async #refillAndRetry(first: StepResult, waitMs: number): Promise<StepResult> {
    const deadline = now() + waitMs;
    let result = first;
    let { driverCalls } = first;
    let refill: RefillOutcome = 'again';
    while (result.outcome === 'short' && refill === 'again' && this.#owner.connected) {
      const shortage = this.#stepper.shortage;
      if (shortage === null) break;
      // A page is worth having: slots grow by single pages when memory is tight.
      refill = await this.#refills.byDeadline(shortage.need, this.#owner.pageBytes, deadline);
      const wanted = this.#stepper.stillWanted(shortage);
      // Freed meanwhile, or grown by another step: nothing is short any more.
      if (wanted.size === 0) result = { outcome: 'mapped', driverCalls: 0, shortSlots: [] };
      else result = this.tryStep(wanted);
      driverCalls += result.driverCalls;
    }
    const outcome = result.outcome === 'short' ? 'short' : 'refilled';
    return Object.freeze({ outcome, driverCalls, shortSlots: result.shortSlots });
  }

  #write(place: Place, slot: number, firstToken: number, rows: Uint8Array): void {
    const tokens = validate.tokensIn(rows, place.widthBytes);
    this.#range(slot, firstToken, tokens);
    writeRows(this.#native, slot, place, firstToken, tokens, rows);
  }

  #read(
    place: Place,
    slot: number,
    firstToken: number,
    tokens: number,
    into?: Uint8Array,
  ): Uint8Array {
    this.#range(slot, firstToken, tokens);
    const size = tokens * place.widthBytes;
    if (into !== undefined && (!(into instanceof Uint8Array) || into.byteLength !== size)) {
      throw badField(
        'into.byteLength',
        into instanceof Uint8Array ? into.byteLength : into,
        `${size}: a Uint8Array for ${tokens} tokens of ${place.widthBytes} bytes`,
      );
    }
    return readRows(this.#native, slot, place, firstToken, tokens, into ?? new Uint8Array(size));
  }

  /** Tokens [firstToken, firstToken + tokens) must lie within the slot's length. */
  #range(slot: number, firstToken: number, tokens: number): void {
    const length = this.#native.length(this.#slot(slot));
    validate.count('firstToken', firstToken, 0, length - 1);
    validate.count('tokens', tokens, 1, length - firstToken);
  }

  /** Whether it is live is the native core's to say. */
  #slot(slot: number): number {
    if (Number.isInteger(slot) && slot >= 0 && slot < this.geometry.slots) return slot;
    throw new KvspanError(
      'SLOT_UNKNOWN',
      `slot: got ${String(slot)}, allowed: 0 .. ${this.geometry.slots - 1}`,
      { field: 'slot' },
    );
  }

  #open(method: string): void {
    if (this.#closing !== null)
      throw new KvspanError('CLOSED', `Cache.${method}: the cache is closed`);
  }
}
