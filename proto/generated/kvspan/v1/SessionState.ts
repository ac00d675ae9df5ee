// Original file: proto/kvspan/v1/admin.proto

export const SessionState = {
  SESSION_STATE_UNSPECIFIED: 'SESSION_STATE_UNSPECIFIED',
  /**
   * Connected.
   */
  SESSION_STATE_OPEN: 'SESSION_STATE_OPEN',
  /**
   * Its connection closed, its process lives: it is charged until it exits.
   */
  SESSION_STATE_LINGERING: 'SESSION_STATE_LINGERING',
  /**
   * An administrator has put it out: it may only give back, and is charged until its process exits.
   */
  SESSION_STATE_EVICTED: 'SESSION_STATE_EVICTED',
} as const;

export type SessionState =
  | 'SESSION_STATE_UNSPECIFIED'
  | 0
  /**
   * Connected.
   */
  | 'SESSION_STATE_OPEN'
  | 1
  /**
   * Its connection closed, its process lives: it is charged until it exits.
   */
  | 'SESSION_STATE_LINGERING'
  | 2
  /**
   * An administrator has put it out: it may only give back, and is charged until its process exits.
   */
  | 'SESSION_STATE_EVICTED'
  | 3

export type SessionState__Output = typeof SessionState[keyof typeof SessionState]
