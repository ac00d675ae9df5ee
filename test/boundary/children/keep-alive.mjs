// What keeps a process alive: a pending promise, an open server; not an open session.
import { native, hostDevice, openSession } from './load.mjs';

const session = openSession();
if (process.argv[3] === 'server') {
  const device = native.openDevice(hostDevice);
  const server = native.listen(
    { device, path: process.argv[2], mode: 0o600, connectionsMax: 1, helloTimeoutMs: 100 },
    () => {},
  );
  setTimeout(() => {
    server.close();
    console.log('closed');
  }, 300).unref();
}
if (process.argv[3] === 'promise') session.giveBack(0n).then(() => console.log('settled'));
