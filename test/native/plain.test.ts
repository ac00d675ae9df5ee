/** The native core's own tests, and the device contract on every device there is. */
import { describe } from 'vitest';
import { programSuite, standIn, whyNoGpu } from './programs.js';

describe('native core', () => {
  programSuite('plain', 'kvspan-native-tests');
});

describe('C ABI', () => {
  programSuite('plain', 'kvspan-capi-tests');
});

describe('device contract', () => {
  programSuite('plain', 'kvspan-selftest', ['--backend', 'host']);
});

describe('device contract, stand-in driver', () => {
  programSuite('plain', 'kvspan-selftest', ['--backend', 'cuda', '--library', standIn('plain')]);
});

describe('device contract, real GPU', () => {
  programSuite('plain', 'kvspan-selftest', ['--backend', 'cuda'], whyNoGpu());
});
