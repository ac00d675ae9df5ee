// Original file: proto/kvspan/v1/admin.proto

import type { ProcessDifference as _kvspan_v1_ProcessDifference, ProcessDifference__Output as _kvspan_v1_ProcessDifference__Output } from '../../kvspan/v1/ProcessDifference.js';
import type { Long } from '@grpc/proto-loader';

/**
 * The books held against what the machine says of the device: NVML of a GPU, the kernel on the host
 * backend. Looked at every few seconds; of the latest look.
 */
export interface DeviceCheck {
  /**
   * How many looks there were; 0: none yet, and nothing below says anything.
   */
  'lookCount'?: (number | string | Long);
  'ageMs'?: (number | string | Long);
  /**
   * Why there was none since; empty: there will be.
   */
  'unavailable'?: (string);
  /**
   * By anybody.
   */
  'deviceUsedBytes'?: (number | string | Long);
  'deviceFreeBytes'?: (number | string | Long);
  /**
   * Charged to sessions.
   */
  'grantedBytes'?: (number | string | Long);
  /**
   * Of these: known to have arrived, so the device must have it.
   */
  'heldBytes'?: (number | string | Long);
  /**
   * All else that is used: contexts, other programs, the driver itself.
   */
  'foreignBytes'?: (number | string | Long);
  /**
   * Where the two part, for several looks on end; 0: they do not.
   * The books charge it, the device does not have it.
   */
  'missingBytes'?: (number | string | Long);
  /**
   * Processes with a session have it and are not charged for it. Host backend only: a GPU's driver
   * does not say whose memory that passes between processes is.
   */
  'unchargedBytes'?: (number | string | Long);
  /**
   * The pool still promises it, and the device has not that much free: others have taken it.
   */
  'shortBytes'?: (number | string | Long);
  /**
   * Host backend only.
   */
  'differences'?: (_kvspan_v1_ProcessDifference)[];
}

/**
 * The books held against what the machine says of the device: NVML of a GPU, the kernel on the host
 * backend. Looked at every few seconds; of the latest look.
 */
export interface DeviceCheck__Output {
  /**
   * How many looks there were; 0: none yet, and nothing below says anything.
   */
  'lookCount': (string);
  'ageMs': (string);
  /**
   * Why there was none since; empty: there will be.
   */
  'unavailable': (string);
  /**
   * By anybody.
   */
  'deviceUsedBytes': (string);
  'deviceFreeBytes': (string);
  /**
   * Charged to sessions.
   */
  'grantedBytes': (string);
  /**
   * Of these: known to have arrived, so the device must have it.
   */
  'heldBytes': (string);
  /**
   * All else that is used: contexts, other programs, the driver itself.
   */
  'foreignBytes': (string);
  /**
   * Where the two part, for several looks on end; 0: they do not.
   * The books charge it, the device does not have it.
   */
  'missingBytes': (string);
  /**
   * Processes with a session have it and are not charged for it. Host backend only: a GPU's driver
   * does not say whose memory that passes between processes is.
   */
  'unchargedBytes': (string);
  /**
   * The pool still promises it, and the device has not that much free: others have taken it.
   */
  'shortBytes': (string);
  /**
   * Host backend only.
   */
  'differences': (_kvspan_v1_ProcessDifference__Output)[];
}
