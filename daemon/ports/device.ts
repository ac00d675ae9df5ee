/**
 * What the daemon needs of the native core: a device that says what it is, and the extent channel
 * over it. Shapes as in `native/native.ts`, which alone is allowed to know the addon.
 */
import type { Peer } from '../core/types.js';

export type Backend = 'host' | 'cuda';

export interface DeviceDescription {
  readonly backend: Backend;
  readonly ordinal: number;
  readonly name: string;
  readonly uuid: string;
  readonly driver: string;
  readonly granularityBytes: bigint;
  readonly totalBytes: bigint;
  readonly freeBytes: bigint;
}

export interface ChannelPeer extends Peer {
  readonly connection: number;
}

export type ChannelEvent =
  /** Answer with `welcome` or `refuse`. */
  | { readonly kind: 'hello'; readonly peer: ChannelPeer }
  | { readonly kind: 'closed'; readonly connection: number; readonly reason: string }
  /** After `closed`, once for each welcomed connection that was not forgotten: the process is gone. */
  | { readonly kind: 'exited'; readonly connection: number };

export interface GrantOutcome {
  readonly importedCount: number;
  readonly failure: { readonly code: string; readonly message: string } | null;
}

/** The daemon's end of the extent channel. */
export interface ExtentChannel {
  welcome(connection: number, sessionId: bigint, token: Uint8Array, servicePath: string): void;
  refuse(connection: number, code: string, message: string): void;
  /** Never rejects for what a client or the device does: that is an outcome. */
  grant(
    connection: number,
    grantId: bigint,
    extentIds: BigUint64Array,
    extentBytes: BigUint64Array,
    ackTimeoutMs: number,
  ): Promise<GrantOutcome>;
  disconnect(connection: number): void;
  /** Ends the peer's process by SIGKILL; nothing if it has exited. Throws PERMISSION_DENIED. */
  kill(connection: number): void;
  /** Of a closed connection whose process holds nothing of it: its exit is not waited for. */
  forget(connection: number): void;
  close(): void;
}

export interface ChannelOptions {
  readonly path: string;
  /** Permission bits of the socket file. */
  readonly mode: number;
  readonly connectionsMax: number;
  readonly helloTimeoutMs: number;
}

export interface Device {
  listen(options: ChannelOptions, onEvent: (event: ChannelEvent) => void): ExtentChannel;
  close(): void;
}

/** Of the device's memory, as the driver or the kernel says it. */
export interface DeviceUsage {
  /** By anybody. */
  readonly usedBytes: bigint;
  readonly freeBytes: bigint;
  /** Of each process asked about, null if it cannot be seen; null: the device does not say. */
  readonly heldBytes: readonly (bigint | null)[] | null;
}

export interface UsageMeter {
  /** Off the event loop. Rejects if there is nobody to ask, or no answer. */
  read(processes: Int32Array): Promise<DeviceUsage>;
}

/** What only native code can do to this process and its files. */
export interface System {
  /** Null: another process has it. */
  lockFile(path: string): { readonly release: () => void } | null;
  setUmask(mask: number): number;
}
