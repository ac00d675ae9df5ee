/** The native core's own tests, and the device contract on every device there is. */
import { programSuite, standIn, whyNoGpu } from './programs.js';

programSuite('native core', 'plain', 'kvspan-native-tests');
programSuite('device contract', 'plain', 'kvspan-selftest', ['--backend', 'host']);
programSuite('device contract, stand-in driver', 'plain', 'kvspan-selftest', [
  '--backend',
  'cuda',
  '--library',
  standIn('plain'),
]);
programSuite('device contract, real GPU', 'plain', 'kvspan-selftest', ['--backend', 'cuda'], whyNoGpu());
