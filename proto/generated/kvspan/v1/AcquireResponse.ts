// Original file: proto/kvspan/v1/memory.proto

import type { Grant as _kvspan_v1_Grant, Grant__Output as _kvspan_v1_Grant__Output } from '../../kvspan/v1/Grant.js';

export interface AcquireResponse {
  'grant'?: (_kvspan_v1_Grant | null);
}

export interface AcquireResponse__Output {
  'grant': (_kvspan_v1_Grant__Output | null);
}
