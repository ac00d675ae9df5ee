/**
 * The floor under every figure: the raw calls of the device, in the same process and the same run,
 * with nothing of kvspan around them.
 */
import { loadNative, type DeviceOptions, type RawDevice } from '../../native/index.js';

export interface ColdGrantFloor {
  readonly create: number;
  readonly exported: number;
  readonly imported: number;
  readonly map: number;
  readonly access: number;
  readonly total: number;
}

export function withRawDevice<T>(options: DeviceOptions, body: (device: RawDevice) => T): T {
  const device = loadNative().openRawDevice(options);
  try {
    return body(device);
  } finally {
    device.close();
  }
}

/** Microseconds of each raw call that stands between "no memory" and "mapped memory". */
export function coldGrantFloor(device: RawDevice, bytes: bigint): ColdGrantFloor {
  const range = device.reserve(bytes);
  const created = device.create(bytes);
  const passed = device.exportImport(created.handle, bytes);
  const map = device.map(range.address, passed.handle, bytes);
  const access = device.access(range.address, bytes);
  device.unmap(range.address, bytes);
  device.release(passed.handle);
  device.release(created.handle);
  device.unreserve(range.address, bytes);
  const total = created.us + passed.exportUs + passed.importUs + map + access;
  return {
    create: created.us,
    exported: passed.exportUs,
    imported: passed.importUs,
    map,
    access,
    total,
  };
}

/**
 * Microseconds of mapping these extents one behind the other, and of unmapping them again. They are
 * imports, as a client's are.
 */
export function growthFloor(
  device: RawDevice,
  extents: readonly number[],
): { readonly grow: number; readonly shrink: number } {
  const total = BigInt(extents.reduce((sum, extent) => sum + extent, 0));
  const range = device.reserve(total);
  const handles = extents.map(extent => {
    const created = device.create(BigInt(extent)).handle;
    const imported = device.exportImport(created, BigInt(extent)).handle;
    device.release(created);
    return imported;
  });
  let grow = 0;
  let shrink = 0;
  let at = range.address;
  handles.forEach((handle, index) => {
    const bytes = BigInt(extents[index] as number);
    grow += device.map(at, handle, bytes) + device.access(at, bytes);
    at += bytes;
  });
  at = range.address;
  handles.forEach((handle, index) => {
    const bytes = BigInt(extents[index] as number);
    shrink += device.unmap(at, bytes) + device.release(handle);
    at += bytes;
  });
  device.unreserve(range.address, total);
  return { grow, shrink };
}
