// A daemon's end: listens at argv[2], welcomes everybody, grants when told to, reports every event.
import { native, hostDevice, pages } from './load.mjs';

const device = native.openDevice(hostDevice);
const server = native.listen(
  { device, path: process.argv[2], mode: 0o600, connectionsMax: 8, helloTimeoutMs: 2000 },
  event => {
    if (event.kind === 'hello')
      server.welcome(event.peer.connection, 77n, new Uint8Array(32).fill(5), '/the/service');
    process.send(event);
  },
);
device.close(); // the server keeps its own share

process.on('message', async message => {
  if (message.kind === 'grant') {
    const outcome = await server.grant(
      message.connection,
      BigInt(message.grant),
      ...pages(message.count),
      5000,
    );
    process.send({ kind: 'outcome', ...outcome });
  }
  if (message.kind === 'close') {
    server.close();
    process.disconnect();
  }
});
process.send({ kind: 'listening' });
