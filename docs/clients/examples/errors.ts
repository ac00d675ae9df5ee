// Errors: one class, a closed set of codes, the numbers that explain it.
import { connect, KvspanError } from 'kvspan';

const session = await connect({ name: 'errors' });
const model = { layers: 4, kvHeads: 8, headDim: 64, dtype: 'bf16' } as const;
const cache = await session.createCache({ ...model, slots: 64, maxTokens: 65_536 });

function report(error: unknown): void {
  if (!(error instanceof KvspanError)) throw error;
  const { code, field, retryable, askedBytes, freeBytes, holders } = error;
  console.log(`${code}${field === '' ? '' : ` (${field})`}, may be tried again: ${retryable}`);
  if (askedBytes !== null && freeBytes !== null)
    console.log(`  asked ${askedBytes > freeBytes ? 'more than' : 'no more than'} is free`);
  for (const { pid, heldBytes } of holders)
    console.log(`  held by ${pid === process.pid ? 'this process' : pid}: ${heldBytes > 0n}`);
}

// Bad input names the argument, what was given and what is allowed, and changes nothing.
await cache.allocate(0).catch(report);
await cache.step(new Map([[3, 10]])).catch(report); // a slot that is not live

// Memory: `allocate` throws when it does not come in time; `step` never does, it says who is short.
const slots: number[] = [];
try {
  for (;;) slots.push(await cache.allocate(2048, { waitMs: 100 })); // 16 MiB each
} catch (error) {
  report(error);
}

await session.close();
await cache.allocate(1).catch(report); // after the end
