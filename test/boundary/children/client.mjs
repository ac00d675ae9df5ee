// A serving process: connects to argv[2], uses what it is granted, reports, and waits to be killed.
import { cacheOptions, native, openSession, planOf } from './load.mjs';

setInterval(() => {}, 1000); // a session does not keep its process alive
const returned = [];
let granted;
const grant = new Promise(resolve => (granted = resolve));
const session = openSession(event => {
  if (event.kind === 'granted') granted(event);
  if (event.kind === 'returned') returned.push(...event.extentIds);
});

const welcome = await session.connect(process.argv[2], 'two-process client', 2000);
process.send({
  kind: 'welcome',
  sessionId: String(welcome.sessionId),
  token: [...welcome.token],
  servicePath: welcome.servicePath,
});

const { grantId, importedCount, failure } = await grant;
process.send({
  kind: 'granted',
  grantId: String(grantId),
  importedCount,
  failure,
  heldCount: session.held().length / 2,
});

// 32 slots of 1,000 tokens: 32 x 4 MiB of the 600.
const cache = session.createCache(planOf(32), cacheOptions);
const slots = (await Promise.all(Array.from({ length: 32 }, () => cache.allocate(1000, 0)))).map(
  report => report.slot,
);
let mismatches = 0;
const pattern = slot =>
  Uint8Array.from({ length: 1000 * 64 }, (_, i) => (i * 7 + slot * 13) & 0xff);
for (const slot of slots) cache.write(slot, 0, 0, 1000, 128, 64, pattern(slot));
const lengths = new Int32Array(32).fill(1100);
const outcome = cache.step(lengths);
for (const slot of slots) {
  const back = new Uint8Array(1000 * 64);
  cache.read(slot, 0, 0, 1000, 128, 64, back);
  if (Buffer.compare(back, pattern(slot)) !== 0) mismatches++;
}

// Attention over the mapped memory and over the same rows in a buffer.
const rows = new Uint8Array(Float32Array.from({ length: 1100 * 16 }, (_, i) => Math.sin(i)).buffer);
cache.write(slots[0], 0, 0, 1100, 0, 64, rows);
const heads = {
  dtype: 'fp32',
  queryHeads: 4,
  kvHeads: 2,
  headDim: 4,
  kOffset: 0,
  vOffset: 32,
  scale: 0.5,
};
const queries = Float32Array.from({ length: 4 * 4 * 3 }, (_, i) => Math.cos(i));
const overSpan = cache.attend(slots[0], { ...heads, kLane: 0, vLane: 0, queries });
const overBuffer = native.attendBuffer(rows, { ...heads, length: 1100, rowBytes: 64, queries });
const sameAttention =
  Buffer.compare(Buffer.from((await overSpan).buffer), Buffer.from((await overBuffer).buffer)) ===
  0;

for (const slot of slots.slice(16)) cache.free(slot, null);
const givenBytes = await session.giveBack(64n * 1024n * 1024n);
process.send({
  kind: 'used',
  mismatches,
  outcome,
  sameAttention,
  slotCount: new Set(slots).size,
  givenBytes: String(givenBytes),
  // All by the time that giveBack has resolved.
  returnedCount: returned.length,
  heldCount: session.held().length / 2,
});
