// Sessions and servers in worker_threads whose environments end, some of them in mid-work.
import { Worker, isMainThread, workerData, parentPort } from 'node:worker_threads';
import { cacheOptions, openPair, planOf } from './load.mjs';

if (isMainThread) {
  for (let i = 0; i < 6; i++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: `${process.argv[2]}.${i}` });
    await new Promise(
      (resolve, reject) => (worker.once('message', resolve), worker.once('error', reject)),
    );
    await new Promise(resolve => setTimeout(resolve, i));
    await worker.terminate();
  }
  console.log('all terminated');
} else {
  const { session } = await openPair(workerData, 64);
  const cache = session.createCache(planOf(16), cacheOptions);
  void Array.from({ length: 12 }, () => cache.allocate(2000, 0));
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- not a window's
  parentPort.postMessage('busy');
  setInterval(() => {}, 1000);
}
