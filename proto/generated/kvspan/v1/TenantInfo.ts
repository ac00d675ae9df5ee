// Original file: proto/kvspan/v1/admin.proto

import type { TenantEntitlement as _kvspan_v1_TenantEntitlement, TenantEntitlement__Output as _kvspan_v1_TenantEntitlement__Output } from '../../kvspan/v1/TenantEntitlement.js';
import type { Long } from '@grpc/proto-loader';

export interface TenantInfo {
  'name'?: (string);
  'entitlement'?: (_kvspan_v1_TenantEntitlement | null);
  /**
   * Charged to its sessions.
   */
  'heldBytes'?: (number | string | Long);
  /**
   * Of these, and of what is promised, above the guarantee: what others' guarantees may take back.
   */
  'borrowedBytes'?: (number | string | Long);
  'sessionCount'?: (number);
  'waitingGrantCount'?: (number);
  /**
   * How often one of its sessions did not bring by the deadline what a guarantee needed.
   */
  'overdueCount'?: (number);
  /**
   * Kept free for its sessions by promise.
   */
  'promisedBytes'?: (number | string | Long);
  /**
   * Of what it holds: on the accounts of evicted sessions, whose processes still have it.
   */
  'evictedBytes'?: (number | string | Long);
}

export interface TenantInfo__Output {
  'name': (string);
  'entitlement': (_kvspan_v1_TenantEntitlement__Output | null);
  /**
   * Charged to its sessions.
   */
  'heldBytes': (string);
  /**
   * Of these, and of what is promised, above the guarantee: what others' guarantees may take back.
   */
  'borrowedBytes': (string);
  'sessionCount': (number);
  'waitingGrantCount': (number);
  /**
   * How often one of its sessions did not bring by the deadline what a guarantee needed.
   */
  'overdueCount': (number);
  /**
   * Kept free for its sessions by promise.
   */
  'promisedBytes': (string);
  /**
   * Of what it holds: on the accounts of evicted sessions, whose processes still have it.
   */
  'evictedBytes': (string);
}
