/** The plans of the growth bench, and per-layer pages on a real device. */
import { describe, expect, it } from 'vitest';
import { growthExtents } from '../../bench/allocator/plan.js';
import { AheadThread } from '../../bench/growth/ahead.js';
import { HeldPages, freshPages, LayeredBuffers } from '../../bench/growth/layered-buffers.js';
import { fewestExtents, firstLengths, growthWorkload } from '../../bench/growth/workload.js';
import { type BenchOptions, parseFlags } from '../../bench/harness/options.js';
import { type DeviceDescription, loadNative } from '../../native/index.js';

const MIB = 1024 ** 2;

const site = (backend: 'host' | 'cuda', freeBytes: bigint, more: Partial<BenchOptions> = {}) => ({
  options: { ...parseFlags({ backend, out: 'x', smoke: false }), ...more },
  backend,
  device: { freeBytes } as DeviceDescription,
  deviceOptions: { backend, ordinal: 0, library: null },
});

const openHost = () => loadNative().openRawDevice({ backend: 'host', ordinal: 0, library: null });

describe('the workload', () => {
  it('is that of Llama-3-8B on a GPU: 64 buffers, 1,024 tokens in a page of each', () => {
    const workload = growthWorkload(site('cuda', 80n * 1024n ** 3n));
    expect(workload).toMatchObject({
      lanes: 64,
      laneTokens: 1024,
      tokenBytes: 131072,
      repeats: 20,
    });
    expect(workload.promptTokens).toEqual([1024, 4096, 16_384, 65_536, 196_608]);
    expect(workload.decode).toMatchObject({ batch: 64, steps: 1024 });
  });

  it('leaves out prompts that the device cannot hold', () => {
    const workload = growthWorkload(site('cuda', 20n * 1024n ** 3n));
    expect(workload.promptTokens).toEqual([1024, 4096, 16_384, 65_536]);
  });

  it('crosses into a new per-layer page in every run, together or one after the other', () => {
    for (const backend of ['host', 'cuda'] as const) {
      const workload = growthWorkload(site(backend, 80n * 1024n ** 3n));
      const { steps, batch } = workload.decode;
      const crossings = (first: number): number =>
        Math.ceil((first + steps) / workload.laneTokens) - Math.ceil(first / workload.laneTokens);
      const together = firstLengths(workload, 'in phase');
      expect(new Set(together).size).toBe(1);
      expect(crossings(together[0] as number)).toBe(1);
      const apart = firstLengths(workload, 'staggered');
      expect(new Set(apart.map(tokens => tokens % workload.laneTokens)).size).toBe(batch);
      const all = apart.reduce((sum, first) => sum + crossings(first), 0);
      expect(all).toBe((batch * steps) / workload.laneTokens);
    }
  });
});

it('the fewest extents make up the bytes, rounded up to pages', () => {
  expect(fewestExtents(1)).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  expect(fewestExtents(11 * 2 * MIB)).toEqual([1, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
  expect(fewestExtents(24 * 1024 * MIB)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 24]);
});

it('extents from a span that is there already are an eighth of it', () => {
  expect(growthExtents(80 * 2 * MIB, 'geometric', 64)).toEqual(
    [8, 8].map(pages => pages * 2 * MIB),
  );
  expect(growthExtents(66 * 2 * MIB, 'linear', 64)).toHaveLength(2);
});

describe('per-layer pages', () => {
  it('map a page in every lane of the slot, and come back', () => {
    const device = openHost();
    const buffers = new LayeredBuffers(device, freshPages(device), {
      lanes: 3,
      slots: 2,
      pagesPerSlot: 2,
    });
    buffers.grow(1, 2);
    expect([buffers.pagesOf(0), buffers.pagesOf(1)]).toEqual([0, 2]);
    buffers.shrink(1, 1);
    buffers.grow(0, 2);
    expect([buffers.pagesOf(0), buffers.pagesOf(1)]).toEqual([2, 1]);
    buffers.close();
    device.close();
  });

  it('come from those created before, and from no others', () => {
    const device = openHost();
    const pages = new HeldPages(device, 3);
    const buffers = new LayeredBuffers(device, pages, { lanes: 3, slots: 1, pagesPerSlot: 2 });
    buffers.grow(0, 1);
    expect(() => buffers.grow(0, 2)).toThrow('more pages were wanted than were created');
    buffers.shrink(0, 0);
    buffers.grow(0, 1);
    buffers.close();
    pages.close();
    device.close();
  });
});

it('a mapping thread that cannot map says so, and leaves nobody waiting', async () => {
  const device = { backend: 'host', ordinal: 0, library: null } as const;
  const size = { lanes: 2, slots: 1, pagesPerSlot: 1 };
  const thread = await AheadThread.start({ device, ...size, firstPages: [1] });
  thread.grow([0]);
  expect(() => thread.wait()).toThrow('could not map what was asked for');
  await thread.close();
});
