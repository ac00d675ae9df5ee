// Never preempting: a request is admitted only if its whole length is promised.
import { connect, KvspanError, type Reservation } from 'kvspan';

// No magazine of its own ahead of need: the whole pool is there to be promised.
const session = await connect({ name: 'reserve', lowWaterBytes: 0n, highWaterBytes: 0n });
const model = { layers: 4, kvHeads: 8, headDim: 64, dtype: 'bf16' } as const;
const cache = await session.createCache({ ...model, slots: 8, maxTokens: 4096 });

const prompt = 500;
const maxNewTokens = 1500;

/** Null: it is not admitted now. */
async function promise(): Promise<Reservation | null> {
  try {
    return await cache.reserve(prompt + maxNewTokens, { waitMs: 0 });
  } catch (error) {
    if (error instanceof KvspanError && error.retryable) return null; // not enough is free
    throw error;
  }
}

session.on('promiseCut', ({ slot, leftBytes, reason }) => {
  console.log(`slot ${slot}: ${leftBytes} bytes are left of its promise (${reason})`);
});

const slots: number[] = [];
for (let request = 0; request < 8; request += 1) {
  const reservation = await promise();
  if (reservation === null) break;
  slots.push(await cache.allocate(prompt, { reservation }));
}
console.log(`admitted ${slots.length} of 8`);

// To the end of each request: whatever others ask for, no slot is short.
let short = 0;
for (let length = prompt + 1; length <= prompt + maxNewTokens; length += 1) {
  const { shortSlots } = await cache.step(new Map(slots.map(slot => [slot, length])));
  short += shortSlots.length;
}
console.log(`slots that were short: ${short}`);

for (const slot of slots) cache.free(slot); // ends the promise too
await session.close();
