// A loop as an engine has it: requests are admitted, grow, run short of memory, are preempted and
// computed again. Eight requests of 2,000 tokens want 125 MiB, so a pool of 64 MiB is too small.
import { connect, KvspanError } from 'kvspan';

interface Request {
  readonly name: number;
  readonly target: number;
  /** What it has now, which a preempted request computes again. */
  tokens: number;
  slot: number;
}

const SLOTS = 8;
const session = await connect({ name: 'engine', grantWaitMs: 50 });
const model = { layers: 4, kvHeads: 8, headDim: 64, dtype: 'bf16' } as const;
const cache = await session.createCache({ ...model, slots: SLOTS, maxTokens: 2000 });

const waiting: Request[] = [];
for (let name = 0; name < SLOTS; name += 1)
  waiting.push({ name, target: 2000, tokens: 500, slot: -1 });
const running: Request[] = []; // the oldest first
const lengths = new Int32Array(SLOTS);
let completed = 0;
let preempted = 0;
/** Whoever was refused or preempted waits until somebody ends: at once it would only be so again. */
let room = true;

function leave(request: Request): void {
  cache.free(request.slot); // on a GPU with the stream whose work still uses it
  lengths[request.slot] = 0;
  running.splice(running.indexOf(request), 1);
}

/** Whether it got a slot. Lack of memory is no failure of an engine: the request waits. */
async function admit(request: Request): Promise<boolean> {
  try {
    request.slot = await cache.allocate(request.tokens);
  } catch (error) {
    if (error instanceof KvspanError && error.retryable) return false;
    throw error;
  }
  lengths[request.slot] = request.tokens;
  running.push(request);
  return true;
}

/** Every running request gets one more token's room; the youngest make room for the others. */
async function grow(): Promise<void> {
  for (const request of running) lengths[request.slot] = request.tokens + 1;
  let { shortSlots } = await cache.step(lengths); // those that could grow have grown
  while (shortSlots.length > 0) {
    const youngest = running.at(-1) as Request;
    leave(youngest);
    waiting.unshift(youngest);
    preempted += 1;
    room = false;
    ({ shortSlots } = await cache.step(lengths));
  }
}

while (completed < SLOTS) {
  while (room && waiting[0] !== undefined) {
    room = await admit(waiting[0]);
    if (room) waiting.shift();
  }
  await grow();
  for (const request of running.slice()) {
    request.tokens += 1; // here the forward pass runs
    if (request.tokens < request.target) continue;
    leave(request);
    completed += 1;
    room = true;
  }
}
console.log(`${completed} requests completed, preempted: ${preempted > 0}`);
await session.close();
