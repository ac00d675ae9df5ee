/**
 * The memory of this process: the native core's session. This folder is the only part of the
 * client that knows the addon.
 */
import {
  type CacheOptions,
  type ChannelWelcome,
  loadNative,
  type NativeCache,
  type NativeSession,
  type NativeSessionEvent,
  type NativeSessionStats,
} from '../../../native/index.js';

export type {
  CacheOptions as NativeCacheOptions,
  ChannelWelcome,
  NativeCache,
  NativeSession as Memory,
  NativeSessionStats as MemoryStats,
};

export interface MemoryOptions {
  readonly backend: 'host' | 'cuda';
  readonly ordinal: number;
  /** Path of libcuda; null: the system's. */
  readonly cudaLibrary: string | null;
  readonly lowWaterBytes: bigint;
  readonly highWaterBytes: bigint;
}

/** What the native core tells, on the event loop. */
export interface MemoryEvents {
  /** The mapper wants extents; it waits for `refillDone` before it asks again. */
  need(counts: readonly number[]): void;
  /** Extents are unmapped and released. */
  returned(extentIds: readonly bigint[]): void;
  /** A grant's extents are in the magazine; `failure`: only the first `importedCount` are. */
  granted(grantId: bigint, importedCount: number, failure: string | null): void;
  /** The extent channel is gone. */
  channelClosed(reason: string): void;
}

/** Opens the device and starts the mapper thread; connects to nobody yet. */
export function openMemory(options: MemoryOptions, events: MemoryEvents): NativeSession {
  const { backend, ordinal, cudaLibrary, lowWaterBytes, highWaterBytes } = options;
  const device = { backend, ordinal, library: cudaLibrary };
  return loadNative().openSession({ device, lowWaterBytes, highWaterBytes }, event =>
    dispatch(event, events),
  );
}

function dispatch(event: NativeSessionEvent, events: MemoryEvents): void {
  switch (event.kind) {
    case 'need':
      return events.need(Array.from(event.counts));
    case 'returned':
      return events.returned(Array.from(event.extentIds));
    case 'granted':
      return events.granted(event.grantId, event.importedCount, event.failure);
    case 'closed':
      return events.channelClosed(event.reason);
  }
}

/** Every extent that this process holds, in the magazine or mapped. */
export function heldExtents(
  memory: NativeSession,
): { readonly id: bigint; readonly bytes: bigint }[] {
  const pairs = memory.held();
  return Array.from({ length: pairs.length / 2 }, (_, index) => ({
    id: pairs[index * 2] as bigint,
    bytes: pairs[index * 2 + 1] as bigint,
  }));
}
