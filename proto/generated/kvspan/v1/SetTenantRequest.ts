// Original file: proto/kvspan/v1/admin.proto

import type { TenantEntitlement as _kvspan_v1_TenantEntitlement, TenantEntitlement__Output as _kvspan_v1_TenantEntitlement__Output } from '../../kvspan/v1/TenantEntitlement.js';
import type { Long } from '@grpc/proto-loader';

export interface SetTenantRequest {
  'name'?: (string);
  /**
   * That of the list which the change is based on.
   */
  'revision'?: (number | string | Long);
  /**
   * The whole of it: what is left out is 0, not as it was.
   */
  'entitlement'?: (_kvspan_v1_TenantEntitlement | null);
}

export interface SetTenantRequest__Output {
  'name': (string);
  /**
   * That of the list which the change is based on.
   */
  'revision': (string);
  /**
   * The whole of it: what is left out is 0, not as it was.
   */
  'entitlement': (_kvspan_v1_TenantEntitlement__Output | null);
}
