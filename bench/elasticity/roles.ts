/** What a serving process does for each kind of job. */
import { connect, type Cache, type Session } from '../../client/typescript/index.js';
import { probe } from '../demo/admin.js';
import { isMemoryShortage } from '../demo/cache.js';
import { UNMARKED } from '../harness/rig.js';
import { orderCounts, PAGE_BYTES } from '../allocator/plan.js';
import { Random } from '../trace/random.js';
import { ElasticEngine, GRANT_WAIT_MS } from './engine.js';
import type {
  ContendAnswer,
  ContendJob,
  HoldAnswer,
  HoldJob,
  Place,
  ServeAnswer,
  ServeJob,
  TakeAnswer,
  TakeJob,
} from './protocol.js';
import { timeOfDay } from './protocol.js';
import { type ModelShape, tokenBytesOfModel } from './sizes.js';
import { StepLoop } from './step-loop.js';
import { Worker } from './work.js';

/** A job's way to the bench. */
export interface Stage {
  /** Says that all is prepared; the time of day at which everybody begins. */
  ready(): Promise<number>;
  /** The bench has seen enough. */
  readonly halted: Promise<void>;
}

const PATIENCE_MS = 60_000;

const join = (place: Place, options = {}): Promise<Session> =>
  connect({
    socketDirectory: place.socketDirectory,
    name: place.tenant,
    ordinal: place.device.ordinal,
    cudaLibrary: place.device.library,
    ...options,
  });

const worker = new Worker();

export async function serve(job: ServeJob, stage: Stage): Promise<ServeAnswer> {
  const session = await join(job.place);
  const { model, batchMax } = job.engine;
  const cache = await session.createCache({
    ...model,
    slots: batchMax,
    maxTokens: job.maxTokens,
    name: 'elasticity',
  });
  const work = worker.open(cache, job);
  try {
    return await new ElasticEngine(session, cache, work, job).run(await stage.ready());
  } finally {
    work.close();
    await session.close();
  }
}

/** A cache of which everything comes and goes by the job's own calls. */
const plainCache = (session: Session, model: ModelShape, slots: number, maxTokens: number) =>
  session.createCache({ ...model, slots, maxTokens, lookaheadTokens: 0, name: 'elasticity' });

async function liveRequests(session: Session, { model, liveSlots }: HoldJob | TakeJob) {
  const tokens = PAGE_BYTES / tokenBytesOfModel(model);
  const cache = await plainCache(session, model, liveSlots, tokens);
  const lengths = new Int32Array(liveSlots).fill(tokens);
  for (let slot = 0; slot < liveSlots; slot += 1)
    await cache.allocate(tokens, { waitMs: PATIENCE_MS });
  return { cache, lengths };
}

const allocateAll = (cache: Cache, count: number, tokens: number): Promise<number[]> =>
  Promise.all(Array.from({ length: count }, () => cache.allocate(tokens, { waitMs: PATIENCE_MS })));

export async function hold(job: HoldJob, stage: Stage): Promise<HoldAnswer> {
  const session = await join(job.place, UNMARKED);
  try {
    const live = await liveRequests(session, job);
    const before = new Set(session.extents().map(({ id }) => id));
    const cache = await plainCache(session, job.model, job.count, job.tokens);
    const slots = await allocateAll(cache, job.count, job.tokens);
    const idle = session.extents().filter(({ id }) => !before.has(id));
    await fillPool(session, job);
    // What the others will get is what these requests leave behind.
    for (const slot of slots) cache.free(slot);
    await stage.ready();
    const loop = new StepLoop(live.cache, live.lengths);
    await stage.halted;
    return { steps: await loop.stop(), extents: idle.map(({ bytes }) => Number(bytes)) };
  } finally {
    await session.close();
  }
}

/** A live request that has all that is left of the pool: what somebody asks for must be given back. */
async function fillPool(session: Session, { place, model }: HoldJob): Promise<void> {
  const pool = await probe(place.socketDirectory);
  const tokens = ((pool?.poolBytes ?? 0) - (pool?.usedBytes ?? 0)) / tokenBytesOfModel(model);
  if (tokens === 0) return;
  const cache = await plainCache(session, model, 1, tokens);
  await cache.allocate(tokens, { waitMs: PATIENCE_MS });
}

/** How long steps are looked at before anything moves. */
const QUIET_MS = 50;

export async function take(job: TakeJob, stage: Stage): Promise<TakeAnswer> {
  const session = await join(job.place, UNMARKED);
  try {
    const live = await liveRequests(session, job);
    const before = new Set(session.extents().map(({ id }) => id));
    const cache = await plainCache(session, job.model, job.count, job.tokens);
    await stage.ready();
    const loop = new StepLoop(live.cache, live.lengths);
    await new Promise(resolve => setTimeout(resolve, QUIET_MS));
    const beginMs = timeOfDay();
    const slots = await allocateAll(cache, job.count, job.tokens);
    const endMs = timeOfDay();
    const steps = await loop.stop();
    // It is memory: what is written at either end of each is there.
    for (const slot of slots) touch(cache, slot, job.tokens);
    const taken = session.extents().filter(({ id }) => !before.has(id));
    return { steps, extents: taken.map(({ bytes }) => Number(bytes)), beginMs, endMs };
  } finally {
    await session.close();
  }
}

function touch(cache: Cache, slot: number, tokens: number): void {
  for (const token of [0, tokens - 1]) {
    const row = new Uint8Array(cache.rowBytes).fill(1 + (slot % 255));
    cache.writeTokens(slot, token, row);
    if (!Buffer.from(cache.readTokens(slot, token, 1)).equals(row))
      throw new Error(`slot ${slot}: token ${token} is not what was written`);
  }
}

const EXTENT_ORDER_MAX = 4;
const PAUSE_MS_MAX = 3;

export async function contend(job: ContendJob, stage: Stage): Promise<ContendAnswer> {
  const session = await join(job.place, UNMARKED);
  const random = new Random(job.seed);
  const inside: number[] = [];
  const beyond: number[] = [];
  let missed = 0;
  let refusedBeyond = 0;
  try {
    const endMs = (await stage.ready()) + job.seconds * 1000;
    while (timeOfDay() < endMs) {
      const held = Number(session.stats().heldBytes);
      const target = random.uniform() * job.mostBytes;
      const bytes = PAGE_BYTES * 2 ** random.integer(0, EXTENT_ORDER_MAX);
      if (held + bytes > target) {
        await session.giveBack(BigInt(Math.ceil(Math.max(bytes, held - target))));
      } else {
        const within = held + bytes <= job.guaranteedBytes;
        const us = await grant(session, bytes);
        if (us !== null) (within ? inside : beyond).push(us);
        else if (within) missed += 1;
        else refusedBeyond += 1;
      }
      await new Promise(resolve => setTimeout(resolve, random.uniform() * PAUSE_MS_MAX));
    }
  } finally {
    await session.close();
  }
  return {
    inside: Float64Array.from(inside),
    beyond: Float64Array.from(beyond),
    refusedBeyond,
    missed,
  };
}

/** Microseconds until it was there; null: its deadline passed. */
async function grant(session: Session, bytes: number): Promise<number | null> {
  const begin = performance.now();
  try {
    await session.acquire(orderCounts([bytes]), { waitMs: GRANT_WAIT_MS });
    return (performance.now() - begin) * 1000;
  } catch (error) {
    if (isMemoryShortage(error)) return null;
    throw error;
  }
}

/** Of the whole process, when it ends. */
export const closeWorker = (): void => worker.close();
