/** The same programs under the thread sanitizer. */
import { programSuite, standIn } from './programs.js';

programSuite('native core, thread sanitizer', 'thread', 'kvspan-native-tests');
programSuite('device contract, thread sanitizer', 'thread', 'kvspan-selftest', ['--backend', 'host']);
programSuite('device contract, stand-in driver, thread sanitizer', 'thread', 'kvspan-selftest', [
  '--backend',
  'cuda',
  '--library',
  standIn('thread'),
]);
