// Original file: proto/kvspan/v1/memory.proto


/**
 * The daemon is shutting down: no further grants. Spans stay usable.
 */
export interface Draining {
  'deadlineMs'?: (number);
}

/**
 * The daemon is shutting down: no further grants. Spans stay usable.
 */
export interface Draining__Output {
  'deadlineMs': (number);
}
