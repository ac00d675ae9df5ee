// Original file: proto/kvspan/v1/admin.proto

import type { SessionState as _kvspan_v1_SessionState, SessionState__Output as _kvspan_v1_SessionState__Output } from '../../kvspan/v1/SessionState.js';
import type { Long } from '@grpc/proto-loader';

export interface SessionInfo {
  'sessionId'?: (number | string | Long);
  'pid'?: (number);
  'uid'?: (number);
  'gid'?: (number);
  'name'?: (string);
  'state'?: (_kvspan_v1_SessionState);
  'heldBytes'?: (number | string | Long);
  'limitBytes'?: (number | string | Long);
  'extentCount'?: (number | string | Long);
  'cacheCount'?: (number);
  'waitingGrantCount'?: (number);
  'ageMs'?: (number | string | Long);
  /**
   * Whom it is charged to.
   */
  'tenant'?: (string);
  /**
   * How often it did not bring by the deadline what another tenant's guarantee needed.
   */
  'overdueCount'?: (number);
  /**
   * It has not brought it yet: its grants are met after all others'.
   */
  'servedLast'?: (boolean);
  /**
   * Kept free for it by promise, beside what it holds.
   */
  'promisedBytes'?: (number | string | Long);
  'promiseCount'?: (number);
}

export interface SessionInfo__Output {
  'sessionId': (string);
  'pid': (number);
  'uid': (number);
  'gid': (number);
  'name': (string);
  'state': (_kvspan_v1_SessionState__Output);
  'heldBytes': (string);
  'limitBytes': (string);
  'extentCount': (string);
  'cacheCount': (number);
  'waitingGrantCount': (number);
  'ageMs': (string);
  /**
   * Whom it is charged to.
   */
  'tenant': (string);
  /**
   * How often it did not bring by the deadline what another tenant's guarantee needed.
   */
  'overdueCount': (number);
  /**
   * It has not brought it yet: its grants are met after all others'.
   */
  'servedLast': (boolean);
  /**
   * Kept free for it by promise, beside what it holds.
   */
  'promisedBytes': (string);
  'promiseCount': (number);
}
