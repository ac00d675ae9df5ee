/** How much of a device the daemon serves. */
import { readFileSync } from 'node:fs';
import { resolveSize, showBytes, type Size } from '../../proto/size.js';
import { PAGE_BYTES, bytes, type Bytes } from '../core/types.js';
import { StartupError } from '../exit-codes.js';
import type { DeviceDescription } from '../ports/device.js';

/** The rest is for the driver, and for the contexts and workspaces of the serving processes. */
const CUDA_PERCENT_DEFAULT = 90;
const HOST_BYTES_DEFAULT_MAX = 4n * 2n ** 30n;
const HOST_SHARE_DEFAULT = 4n;

const inPages = (size: bigint): bigint => size - (size % PAGE_BYTES);

/** What the kernel says can be had without swapping; the device's own figure where it does not. */
function availableBytes(device: DeviceDescription): bigint {
  try {
    const line = /^MemAvailable:\s+([0-9]+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'));
    if (line?.[1] !== undefined) return BigInt(line[1]) * 1024n;
  } catch {
    // No /proc: the device's figure is all there is.
  }
  return device.freeBytes;
}

function defaultBytes(device: DeviceDescription): bigint {
  if (device.backend === 'cuda')
    return resolveSize({ percent: CUDA_PERCENT_DEFAULT }, device.freeBytes);
  const available = availableBytes(device);
  const least =
    [available, device.freeBytes].reduce((a, b) => (a < b ? a : b)) / HOST_SHARE_DEFAULT;
  return least < HOST_BYTES_DEFAULT_MAX ? least : HOST_BYTES_DEFAULT_MAX;
}

/** Whole pages. Throws a StartupError of reason `poolTooLarge`, or `config` for less than a page. */
export function poolSize(asked: Size | null, device: DeviceDescription): Bytes {
  const wanted = asked === null ? defaultBytes(device) : resolveSize(asked, device.totalBytes);
  const size = inPages(wanted);
  if (size < PAGE_BYTES) {
    throw new StartupError(
      'config',
      `poolBytes is ${wanted}, allowed: at least one page, ${PAGE_BYTES}`,
      'give a larger --pool-bytes',
    );
  }
  if (size > device.totalBytes) {
    const message =
      `poolBytes is ${size} (${showBytes(size)}), ` +
      `but ${device.name} has ${device.totalBytes} (${showBytes(device.totalBytes)})`;
    throw new StartupError(
      'poolTooLarge',
      message,
      'give a smaller --pool-bytes, or a share such as 90%',
    );
  }
  return bytes(size);
}

/** Whole pages; not above the pool. */
export function sessionLimit(asked: Size, pool: Bytes): Bytes {
  const wanted = resolveSize(asked, pool);
  const size = inPages(wanted);
  if (size < PAGE_BYTES) {
    throw new StartupError(
      'config',
      `sessionLimitBytes is ${wanted}, allowed: ${PAGE_BYTES} .. ${pool}`,
      'give a larger --session-limit-bytes',
    );
  }
  return size < pool ? bytes(size) : pool;
}
