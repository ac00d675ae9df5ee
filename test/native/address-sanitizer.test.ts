/** The same programs under the address sanitizer, with undefined behaviour. */
import { programSuite, standIn } from './programs.js';

programSuite('native core, address sanitizer', 'address', 'kvspan-native-tests');
programSuite('device contract, address sanitizer', 'address', 'kvspan-selftest', ['--backend', 'host']);
programSuite('device contract, stand-in driver, address sanitizer', 'address', 'kvspan-selftest', [
  '--backend',
  'cuda',
  '--library',
  standIn('address'),
]);
