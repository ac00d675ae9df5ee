/** `step` by case: what an engine pays before each forward pass. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cache, Session } from '../../client/typescript/index.js';
import { quantile, row } from '../report/statistics.js';
import type { Row } from '../report/results.js';
import { orderCounts, PAGE_BYTES } from './plan.js';
import { tokensIn, type Workload } from './workload.js';

const US_PER_MS = 1000;
const STATISTICS = [
  ['p50', 0.5],
  ['p99', 0.99],
  ['p99.9', 0.999],
] as const;

/** One row per statistic: the statistic of each repeat, then the median over the repeats. */
function rows(name: string, variant: string, repeats: readonly Float64Array[]): Row[] {
  return STATISTICS.map(([label, share]) =>
    row(
      name,
      `${variant}, ${label}`,
      'us',
      repeats.map(repeat => quantile(repeat, share)),
    ),
  );
}

async function liveCache(
  session: Session,
  workload: Workload,
  lookaheadTokens: number,
  tokens: number,
) {
  const cache = await session.createCache({
    ...workload.geometry,
    slots: workload.slots,
    maxTokens: tokensIn(64 * PAGE_BYTES, workload),
    lookaheadTokens,
    name: 'bench-step',
  });
  const lengths = new Int32Array(workload.slots);
  for (let slot = 0; slot < workload.slots; slot += 1)
    lengths[await cache.allocate(tokens)] = tokens;
  return { cache, lengths };
}

function time(cache: Cache, lengths: Int32Array): number {
  const start = performance.now();
  cache.tryStep(lengths);
  return (performance.now() - start) * US_PER_MS;
}

/** Every slot has room and nothing is due: the step of nearly every forward pass. */
export async function stepNothing(session: Session, workload: Workload): Promise<Row[]> {
  const { cache, lengths } = await liveCache(session, workload, 0, 16);
  const repeats = Array.from({ length: workload.repeats + 1 }, () => {
    const samples = new Float64Array(workload.stepsPerRepeat);
    for (let i = 0; i < samples.length; i += 1) samples[i] = time(cache, lengths);
    return samples;
  }).slice(1); // the first warms the compiler
  await cache.close();
  return rows(`step, ${workload.slots} live slots`, 'nothing to do', repeats);
}

/**
 * Decoding, one token a slot and step, with the mapper working ahead: the steps that only flag work
 * for it. A pause between steps stands for the forward pass.
 */
export async function stepAhead(session: Session, workload: Workload): Promise<Row[]> {
  const tokensPerPage = tokensIn(PAGE_BYTES, workload);
  const { cache, lengths } = await liveCache(session, workload, Math.min(16, tokensPerPage), 16);
  const ahead: number[] = [];
  let steps = 0;
  let mapped = 0;
  const stride = Math.max(1, Math.floor(tokensPerPage / 64));
  while (ahead.length < workload.repeats && steps < workload.stepsPerRepeat) {
    for (let slot = 0; slot < lengths.length; slot += 1)
      lengths[slot] = (lengths[slot] as number) + stride;
    if ((lengths[0] as number) >= tokensIn(60 * PAGE_BYTES, workload)) break;
    const start = performance.now();
    const { outcome } = cache.tryStep(lengths);
    const us = (performance.now() - start) * US_PER_MS;
    if (outcome === 'ahead') ahead.push(us);
    if (outcome === 'mapped' || outcome === 'short') mapped += 1;
    steps += 1;
    await sleep(outcome === 'ahead' ? 20 : 0);
  }
  await cache.close();
  const name = `step, ${workload.slots} live slots`;
  if (ahead.length === 0) return [];
  return [
    row(name, 'mapped ahead (the mapper is woken)', 'us', ahead),
    row(
      name,
      'all slots cross a page at once, 20 ms a pass: share mapped by step itself',
      'share',
      [mapped / steps],
    ),
  ];
}

/** One slot crosses into a page that nobody mapped ahead: one extent of the magazine, mapped now. */
export async function stepFromMagazine(session: Session, workload: Workload): Promise<Row[]> {
  const samples: number[] = [];
  const cache = await session.createCache({
    ...workload.geometry,
    slots: workload.slots,
    maxTokens: tokensIn((workload.repeats + 8) * PAGE_BYTES, workload),
    lookaheadTokens: 0,
    growth: 'linear',
    name: 'bench-magazine',
  });
  await session.acquire(
    orderCounts(Array.from({ length: workload.repeats + 8 }, () => PAGE_BYTES)),
  );
  const lengths = new Int32Array(workload.slots);
  const slot = await cache.allocate(1);
  for (let page = 1; page <= workload.repeats; page += 1) {
    lengths[slot] = tokensIn(page * PAGE_BYTES, workload) + 1;
    samples.push(time(cache, lengths));
  }
  await cache.close();
  await session.giveBack(2n ** 62n);
  return [row('step, one slot grows a page', 'from the magazine', 'us', samples)];
}

/** The same with an empty magazine: `step` waits for the daemon. */
export async function stepRefill(session: Session, workload: Workload): Promise<Row[]> {
  const samples: number[] = [];
  const cache = await session.createCache({
    ...workload.geometry,
    slots: 4,
    maxTokens: tokensIn((workload.repeats + 8) * PAGE_BYTES, workload),
    lookaheadTokens: 0,
    growth: 'linear',
    name: 'bench-refill',
  });
  const lengths = new Int32Array(4);
  const slot = await cache.allocate(1);
  for (let page = 1; page <= workload.repeats; page += 1) {
    await session.giveBack(2n ** 62n);
    lengths[slot] = tokensIn(page * PAGE_BYTES, workload) + 1;
    const start = performance.now();
    await cache.step(lengths, { waitMs: 5000 });
    samples.push((performance.now() - start) * US_PER_MS);
  }
  await cache.close();
  return [row('step, one slot grows a page', 'refill from the daemon', 'us', samples)];
}
