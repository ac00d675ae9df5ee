/** The same programs under the address sanitizer, with undefined behaviour. */
import { describe } from 'vitest';
import { programSuite, standIn } from './programs.js';

describe('native core, address sanitizer', () => {
  programSuite('address', 'kvspan-native-tests');
});

describe('C ABI, address sanitizer', () => {
  programSuite('address', 'kvspan-capi-tests');
});

describe('device contract, address sanitizer', () => {
  programSuite('address', 'kvspan-selftest', ['--backend', 'host']);
});

describe('device contract, stand-in driver, address sanitizer', () => {
  programSuite('address', 'kvspan-selftest', [
    '--backend',
    'cuda',
    '--library',
    standIn('address'),
  ]);
});
