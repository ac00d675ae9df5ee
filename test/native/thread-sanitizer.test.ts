/** The same programs under the thread sanitizer. */
import { describe } from 'vitest';
import { programSuite, standIn } from './programs.js';

describe('native core, thread sanitizer', () => {
  programSuite('thread', 'kvspan-native-tests');
});

describe('C ABI, thread sanitizer', () => {
  programSuite('thread', 'kvspan-capi-tests');
});

describe('device contract, thread sanitizer', () => {
  programSuite('thread', 'kvspan-selftest', ['--backend', 'host']);
});

describe('device contract, stand-in driver, thread sanitizer', () => {
  programSuite('thread', 'kvspan-selftest', ['--backend', 'cuda', '--library', standIn('thread')]);
});
