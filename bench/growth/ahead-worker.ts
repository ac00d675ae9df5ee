/**
 * The background thread of the per-layer way: it maps the pages that the next step will need while
 * the GPU computes this one. The pages were created beforehand, as vAttention's paper has it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { loadNative } from '../../native/index.js';
import { type AheadStart, Command, Word } from './ahead-protocol.js';
import { HeldPages, LayeredBuffers } from './layered-buffers.js';

const start = workerData as AheadStart;
const { words, firstPages } = start;
const device = loadNative().openRawDevice(start.device);
const pages = new HeldPages(device, start.slots * start.lanes * start.pagesPerSlot);
const buffers = new LayeredBuffers(device, pages, start);

function reset(): void {
  for (const [slot, count] of firstPages.entries()) {
    buffers.shrink(slot, count);
    buffers.grow(slot, count);
  }
}

function grow(): void {
  const count = words[Word.count] as number;
  for (let i = 0; i < count; i += 1) {
    const slot = words[Word.firstSlot + i] as number;
    buffers.grow(slot, buffers.pagesOf(slot) + 1);
  }
}

function end(): void {
  buffers.close();
  pages.close();
  device.close();
}

/** Who waits for the answer blocks its thread: it must come, whatever happens here. */
function carryOut(command: number | undefined): void {
  try {
    if (command === Command.grow) grow();
    else if (command === Command.reset) reset();
    else end();
  } catch {
    Atomics.store(words, Word.failed, 1);
  }
}

reset();
// A thread has no origin, which is a window's.
// oxlint-disable-next-line unicorn/require-post-message-target-origin
parentPort?.postMessage('ready');
for (let asked = 0; ; ) {
  Atomics.wait(words, Word.asked, asked);
  asked = Atomics.load(words, Word.asked);
  const command = words[Word.command];
  carryOut(command);
  Atomics.store(words, Word.done, asked);
  Atomics.notify(words, Word.done);
  if (command === Command.end) break;
}
