/** The GPU's memory as the benches use it: arrays, rows of plausible numbers, a way to empty L2. */
import { type CopyWork, findKernels, type Kernels, loadNative } from '../../native/index.js';
import type { Site } from '../harness/rig.js';
import { Random } from '../trace/random.js';

/** Random numbers are made on the host once, and copied on the device as often as is wanted. */
const SEED_BYTES = 16 * 1024 * 1024;
/** L2 is emptied by reading so many times its size. */
const FLUSH_FACTOR = 3n;

export class Gpu {
  readonly kernels: Kernels;
  readonly stream: bigint;
  readonly flush: { readonly address: bigint; readonly bytes: bigint };
  readonly #seed: bigint;

  constructor(kernels: Kernels) {
    this.kernels = kernels;
    this.stream = kernels.createStream();
    const bytes = kernels.device.l2Bytes * FLUSH_FACTOR;
    this.flush = { address: kernels.allocate(bytes), bytes };
    const zeros = kernels.prepare([{ kind: 'fill', ...this.flush, byte: 0 }]);
    zeros.launch(this.stream);
    zeros.close();
    this.#seed = kernels.allocate(BigInt(SEED_BYTES));
    kernels.copyIn(this.#seed, new Uint8Array(plausibleRows(SEED_BYTES / 2).buffer));
  }

  allocate(bytes: number): bigint {
    return this.kernels.allocate(BigInt(bytes));
  }

  free(address: bigint): void {
    this.kernels.free(address);
  }

  /** An int32 array on the device. */
  upload(values: Int32Array): bigint {
    const address = this.allocate(values.byteLength);
    this.write(address, values);
    return address;
  }

  write(address: bigint, values: Int32Array): void {
    this.kernels.copyIn(
      address,
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    );
  }

  /** Numbers as a model might have them, so that neither power nor caches see only zeros. */
  fill(address: bigint, bytes: number): void {
    const copies: CopyWork[] = [];
    for (let at = 0; at < bytes; at += SEED_BYTES) {
      copies.push({
        kind: 'copy',
        to: address + BigInt(at),
        from: this.#seed,
        bytes: BigInt(Math.min(SEED_BYTES, bytes - at)),
      });
    }
    const batch = this.kernels.prepare(copies);
    batch.launch(this.stream);
    this.kernels.synchronize(this.stream);
    batch.close();
  }

  close(): void {
    this.kernels.destroyStream(this.stream);
    this.kernels.close();
  }
}

/** bf16 numbers of either sign between 1/4 and 2. */
export function plausibleRows(count: number): Uint16Array {
  const random = new Random(3);
  return Uint16Array.from({ length: count }, () => {
    const word = random.uint32();
    return ((word >>> 16) & 0x8000) | (0x3e80 + (word % 0x180));
  });
}

/** On the device of a site or rig; throws DEVICE_UNAVAILABLE. */
export function openGpu({ deviceOptions }: Pick<Site, 'deviceOptions'>): Gpu {
  const { ordinal, library } = deviceOptions;
  return new Gpu(loadNative().openKernels({ ordinal, library, folder: findKernels() }));
}

/** Why there are no kernels here; null: there are. */
export function noKernels(site: Site): string | null {
  if (site.backend !== 'cuda') return 'its kernels need a GPU, and this is the host backend';
  const { ordinal, library } = site.deviceOptions;
  try {
    loadNative().openKernels({ ordinal, library, folder: findKernels() }).close();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
