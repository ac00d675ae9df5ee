// The binary itself, without native/index.ts: children need no TypeScript.
import { createRequire } from 'node:module';

export const native = createRequire(import.meta.url)(process.env.KVSPAN_ADDON);
export const hostDevice = { backend: 'host', ordinal: 0, library: null };
export const MIB = 1024n * 1024n;
export const PAGE = 2n * MIB;

/** Token-major: rows of 4 KiB, slots of 16 MiB. */
export function planOf(slotCount) {
  const slotStrideBytes = 16n * MIB;
  const totalBytes = slotStrideBytes * BigInt(slotCount);
  return {
    wantedBase: 0n,
    totalBytes,
    laneCount: 1,
    rowBytes: 4096n,
    slotStrideBytes,
    laneStrideBytes: totalBytes,
    slotCount,
    maxTokens: 4096,
  };
}
export const cacheOptions = { growth: 'geometric', lookaheadTokens: 16, overreadTokens: 0 };

export function pages(count, first = 1) {
  return [
    BigUint64Array.from({ length: count }, (_, i) => BigInt(first + i)),
    new BigUint64Array(count).fill(PAGE),
  ];
}

export function openSession(onEvent = () => {}) {
  return native.openSession({ device: hostDevice, lowWaterBytes: 0n, highWaterBytes: 0n }, onEvent);
}

/** A server that welcomes everybody, and a session connected to it with `pageCount` extents. */
export async function openPair(path, pageCount) {
  const device = native.openDevice(hostDevice);
  const hello = new Promise(resolve => {
    const server = native.listen(
      { device, path, mode: 0o600, connectionsMax: 8, helloTimeoutMs: 2000 },
      event => {
        if (event.kind !== 'hello') return;
        server.welcome(event.peer.connection, 1n, new Uint8Array(32), '/service');
        resolve({ server, connection: event.peer.connection });
      },
    );
  });
  const session = openSession();
  await session.connect(path, 'pair', 2000);
  const { server, connection } = await hello;
  if (pageCount > 0) await server.grant(connection, 1n, ...pages(pageCount), 5000);
  return { device, server, connection, session };
}
