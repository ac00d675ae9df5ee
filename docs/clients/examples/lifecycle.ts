// What a session tells its owner: the daemon goes away and comes back, an administrator evicts it.
import { AdminClient, connect, KvspanError } from 'kvspan';

const session = await connect({ name: 'lifecycle' });
const model = { layers: 4, kvHeads: 8, headDim: 64, dtype: 'bf16' } as const;
const cache = await session.createCache({ ...model, slots: 8, maxTokens: 4096 });
const slot = await cache.allocate(100);

session.on('draining', ({ deadlineMs }) => console.log(`the daemon ends within ${deadlineMs} ms`));
session.on('reconnected', ({ attempts }) => console.log(`back again after ${attempts} attempts`));
const evicted = new Promise<void>(resolve => {
  session.on('disconnected', ({ error, willReconnect }) => {
    console.log(`disconnected: ${error.code}, will reconnect: ${willReconnect}`);
    if (!willReconnect) resolve();
  });
});

// What an operator does with `kvspan evict SESSION`; here by the program itself.
const admin = new AdminClient();
await admin.evict(session.id);
admin.close();
await evicted;

console.log(`state ${session.state}; its request still has ${cache.length(slot)} tokens`);
await cache.step(new Map([[slot, 101]])); // what is mapped needs no daemon
try {
  await cache.allocate(4000);
} catch (error) {
  if (!(error instanceof KvspanError)) throw error;
  console.log(`more memory is refused: ${error.code}`);
}
cache.free(slot);
await session.close(); // gives everything back all the same
