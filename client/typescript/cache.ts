/** A KV cache of a session: slots, their lengths, and the rows in them. */
import { badField, KvspanError } from '../../proto/errors.js';
import type { CacheOwner } from './cache-owner.js';
import { now } from './deadline.js';
import { type CachePlan, type Geometry, type Place, placeOf, reservedFor } from './geometry.js';
import type { NativeCache, NativeCacheOptions } from './mapping/memory.js';
import { attend, readRows, wholeRow, writeRows } from './mapping/rows.js';
import { allocateWith, type Attempt, type Looking, type RefillOutcome, Refills } from './refill.js';
import type { PromisedMemory, Reservation } from './reservations.js';
import { SpanNeed } from './span-need.js';
import type { CacheStats } from './stats.js';
import { AHEAD, type Lengths, NOTHING, Stepper, type StepResult } from './stepper.js';
import type {
  AllocateOptions,
  AttendOptions,
  Cache,
  ReserveOptions,
  WaitOptions,
} from './types.js';
import * as validate from './validate.js';
import { type StridedView, viewOf } from './views.js';

const RESOLVED_NOTHING = Promise.resolve(NOTHING);
const RESOLVED_AHEAD = Promise.resolve(AHEAD);

/** A promise that no request has yet lapses after so long unless told otherwise. */
const LAPSE_MS = 30_000;
const LAPSE_MS_MAX = 600_000;
/** A draw is decided at once, but the memory must still be created and sent. */
const DRAW_MS = 250;

export class SessionCache implements Cache {
  readonly geometry: Geometry;
  readonly reserved: Geometry;
  readonly plan: CachePlan;
  readonly rowBytes: number;
  readonly name: string;
  /** The daemon's; another one after each re-establishment. */
  cacheId: bigint;
  readonly #owner: CacheOwner;
  readonly #native: NativeCache;
  readonly #stepper: Stepper;
  readonly #refills: Refills;
  readonly need: SpanNeed;
  readonly lookaheadTokens: number;
  readonly overreadTokens: number;
  #closing: Promise<void> | null = null;

  constructor(
    owner: CacheOwner,
    native: NativeCache,
    cacheId: bigint,
    name: string,
    geometry: Geometry,
    plan: CachePlan,
    { growth, lookaheadTokens, overreadTokens }: NativeCacheOptions,
  ) {
    this.geometry = geometry;
    this.reserved = reservedFor(geometry, overreadTokens);
    this.plan = Object.freeze({ ...plan, baseAddress: native.base });
    this.rowBytes = Number(plan.rowBytes);
    this.name = name;
    this.cacheId = cacheId;
    this.#owner = owner;
    this.#native = native;
    this.#stepper = new Stepper(native, geometry.slots, geometry.maxTokens);
    this.lookaheadTokens = lookaheadTokens;
    this.overreadTokens = overreadTokens;
    this.need = new SpanNeed(plan, owner.pageBytes, overreadTokens, growth);
    this.#refills = new Refills(wish => owner.fetchUnhurried(wish));
  }

  get closed(): boolean {
    return this.#closing !== null;
  }

  async allocate(promptTokens: number, options: AllocateOptions = {}): Promise<number> {
    this.#open('allocate');
    validate.count('promptTokens', promptTokens, 1, this.geometry.maxTokens);
    const deadline = now() + validate.waitMs(options.waitMs, this.#owner.grantWaitMs);
    const { reservations } = this.#owner;
    const promise =
      options.reservation === undefined
        ? null
        : reservations.take(options.reservation, this, promptTokens);
    try {
      const slot = await this.#find(promptTokens, deadline, promise);
      if (promise !== null) reservations.bind(promise, slot);
      return slot;
    } catch (error) {
      if (promise !== null) reservations.drop(promise);
      throw error;
    }
  }

  #find(
    promptTokens: number,
    deadline: number,
    promise: PromisedMemory | null,
  ): number | Promise<number> {
    const warm = this.#native.allocateWarm(promptTokens);
    if (warm.slot >= 0) return this.#started(warm.slot, promptTokens);
    return this.#look(promptTokens, deadline, warm.need, promise);
  }

  async reserve(tokens: number, options: ReserveOptions = {}): Promise<Reservation> {
    this.#open('reserve');
    validate.count('tokens', tokens, 1, this.geometry.maxTokens);
    const waitMs = validate.waitMs(options.waitMs, this.#owner.grantWaitMs);
    const lapseMs = validate.count('lapseMs', options.lapseMs ?? LAPSE_MS, 1, LAPSE_MS_MAX);
    const { cacheId, overreadTokens, need } = this;
    const { reservations } = this.#owner;
    const slot = options.slot === undefined ? null : this.#unpromised(options.slot);
    const mapped = slot === null ? 0 : this.#native.mappedTokens(slot);
    const gapBytes = need.gapBytes(tokens, mapped);
    const mappedBytes = need.wholeBytes(tokens) - gapBytes;
    const asked = { cacheId, tokens, overreadTokens, mappedBytes, waitMs, lapseMs };
    const made = gapBytes === 0n ? { id: 0n, bytes: 0n } : await this.#owner.reserve(asked);
    const promise = reservations.add(this, tokens, lapseMs, made);
    if (slot !== null && this.#stepper.isLive(slot)) reservations.bind(promise, slot);
    else if (slot !== null || this.closed) promise.release();
    return promise;
  }

  promised(slot: number, promised: boolean): void {
    this.#native.promise(slot, promised);
  }

  /** Tries until there is a slot; what a promise covers is drawn on it. */
  #look(
    promptTokens: number,
    deadline: number,
    need: Uint32Array,
    promise: PromisedMemory | null,
  ): Promise<number> {
    const { reservations } = this.#owner;
    const looking: Looking = {
      attempt: patienceMs => this.#allocateOffLoop(promptTokens, patienceMs, promise !== null),
      hurry: () => {
        if (!this.closed) this.#native.hurry();
      },
      alone: () => this.#owner.grantsInFlight === 1 && !this.#stepper.allocating,
      ask: async (counts, signal) => {
        const limitMs = Math.max(DRAW_MS, deadline - now());
        const drawn =
          promise !== null &&
          (await reservations.drawPrompt(promise, counts, limitMs).catch(() => false));
        if (drawn) return;
        const waitMs = Math.max(0, deadline - now());
        // All or nothing: a part of a prompt's memory would help nobody, and others lack it.
        await this.#owner.fetch({ counts, minimumBytes: 0n, waitMs, signal });
      },
    };
    // Surely missing: asked for at once, without a look on another thread first.
    const known = need.some(count => count > 0) ? Array.from(need) : null;
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
    this.#owner.reservations.freed(this, slot);
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

  async #allocateOffLoop(tokens: number, patienceMs: number, promised: boolean): Promise<Attempt> {
    this.#open('allocate');
    this.#stepper.allocationBegins();
    try {
      const report = promised
        ? await this.#native.allocatePromised(tokens, patienceMs)
        : await this.#native.allocate(tokens, patienceMs);
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
      const { reservations, pageBytes } = this.#owner;
      // A page is worth having: slots grow by single pages when memory is tight.
      const leftMs = deadline - now();
      const drawn = leftMs > 0 && (await reservations.draw(this, shortage.wanted, leftMs));
      if (!drawn) refill = await this.#refills.byDeadline(shortage.need, pageBytes, deadline);
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

  /** A live slot that memory is not promised to yet. */
  #unpromised(given: number): number {
    const slot = this.#slot(given);
    this.#native.length(slot);
    if (this.#owner.reservations.of(this, slot) === null) return slot;
    throw badField('slot', slot, 'one that memory is not promised to yet');
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
