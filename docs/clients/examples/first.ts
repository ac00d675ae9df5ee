// The first program: a cache, one request that grows token by token, and the rows in it.
import { connect } from 'kvspan';

const session = await connect({ name: 'first' });
const { backend, pageBytes } = session.server;
console.log(`connected: backend ${backend}, pages of ${pageBytes} bytes`);

const model = { layers: 4, kvHeads: 8, headDim: 64, dtype: 'bf16' } as const;
const cache = await session.createCache({ ...model, slots: 8, maxTokens: 4096, name: 'first' });
const key = cache.key(0);
console.log(`K of layer 0: [${key.shape.join(', ')}], strides [${key.strides.join(', ')}]`);

const prompt = 100;
const slot = await cache.allocate(prompt); // mapped as far as the prompt; addresses are for ever
const row = new Uint8Array(8 * 64 * 2).fill(7); // one token's K of one layer: [1, 8, 64] in bf16

const lengths = new Int32Array(8); // an entry for every slot; 0: not live
for (let length = prompt + 1; length <= 300; length += 1) {
  lengths[slot] = length;
  const { shortSlots } = await cache.step(lengths); // before each forward pass
  if (shortSlots.length > 0) throw new Error('no memory for this token');
  cache.writeKey(0, slot, length - 1, row); // an engine's kernel writes to key.address instead
}

const last = cache.readKey(0, slot, cache.length(slot) - 1, 1);
console.log(`${cache.length(slot)} tokens, the last row is ${last.every(byte => byte === 7)}`);

cache.free(slot);
await session.close();
