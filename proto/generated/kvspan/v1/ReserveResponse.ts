// Original file: proto/kvspan/v1/memory.proto

import type { Promised as _kvspan_v1_Promised, Promised__Output as _kvspan_v1_Promised__Output } from '../../kvspan/v1/Promised.js';

export interface ReserveResponse {
  'promised'?: (_kvspan_v1_Promised | null);
}

export interface ReserveResponse__Output {
  'promised': (_kvspan_v1_Promised__Output | null);
}
