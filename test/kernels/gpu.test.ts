/** The attention kernels on this machine's GPU (`kvspan-kerneltest`), case by case. */
import { describe } from 'vitest';
import { findKernels } from '../../native/index.js';
import { programSuite, whyNoGpu } from '../native/programs.js';

describe('kernels on the GPU', () => {
  programSuite('plain', 'kvspan-kerneltest', ['--folder', findKernels()], whyNoGpu());
});
