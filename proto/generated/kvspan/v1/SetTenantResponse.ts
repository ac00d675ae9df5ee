// Original file: proto/kvspan/v1/admin.proto

import type { TenantInfo as _kvspan_v1_TenantInfo, TenantInfo__Output as _kvspan_v1_TenantInfo__Output } from '../../kvspan/v1/TenantInfo.js';
import type { Long } from '@grpc/proto-loader';

export interface SetTenantResponse {
  'tenant'?: (_kvspan_v1_TenantInfo | null);
  'revision'?: (number | string | Long);
}

export interface SetTenantResponse__Output {
  'tenant': (_kvspan_v1_TenantInfo__Output | null);
  'revision': (string);
}
