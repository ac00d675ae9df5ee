// Original file: proto/kvspan/v1/admin.proto

import type { TenantInfo as _kvspan_v1_TenantInfo, TenantInfo__Output as _kvspan_v1_TenantInfo__Output } from '../../kvspan/v1/TenantInfo.js';
import type { Long } from '@grpc/proto-loader';

export interface ListTenantsResponse {
  'tenants'?: (_kvspan_v1_TenantInfo)[];
  /**
   * Of all entitlements together, since their sum is checked.
   */
  'revision'?: (number | string | Long);
}

export interface ListTenantsResponse__Output {
  'tenants': (_kvspan_v1_TenantInfo__Output)[];
  /**
   * Of all entitlements together, since their sum is checked.
   */
  'revision': (string);
}
