// A callback that throws is an uncaught exception, as in any event handler.
import { openSession } from './load.mjs';
import { openPair } from './load.mjs';

process.on('uncaughtException', error => {
  console.log(`uncaught: ${error.message}`);
  process.exit(0);
});
const { server } = await openPair(process.argv[2], 0);
const session = openSession(() => {
  throw new Error('from the callback');
});
await session.connect(process.argv[2], 'thrower', 1000);
server.close();
setTimeout(() => {}, 5000);
