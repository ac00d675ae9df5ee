/** A daemon as a process of its own; its configuration is the one argument, in JSON. */
import { type Overrides, runUntilSignal, serve } from '../../daemon/main.js';

const daemon = await serve(JSON.parse(process.argv[2] ?? '{}') as Overrides);
process.send?.('ready');
// Whoever started it is gone: nobody would ever stop it.
process.once('disconnect', () => process.exit(0));
process.exitCode = await runUntilSignal(daemon);
process.disconnect?.();
