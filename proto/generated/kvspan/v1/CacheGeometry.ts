// Original file: proto/kvspan/v1/types.proto

import type { Layout as _kvspan_v1_Layout, Layout__Output as _kvspan_v1_Layout__Output } from '../../kvspan/v1/Layout.js';
import type { Dtype as _kvspan_v1_Dtype, Dtype__Output as _kvspan_v1_Dtype__Output } from '../../kvspan/v1/Dtype.js';

export interface CacheGeometry {
  'layout'?: (_kvspan_v1_Layout);
  'layersCount'?: (number);
  'kvHeadsCount'?: (number);
  'headDimCount'?: (number);
  'dtype'?: (_kvspan_v1_Dtype);
  /**
   * Requests that can be live at once.
   */
  'slotsCount'?: (number);
  /**
   * The longest request, in tokens.
   */
  'maxTokensCount'?: (number);
}

export interface CacheGeometry__Output {
  'layout': (_kvspan_v1_Layout__Output);
  'layersCount': (number);
  'kvHeadsCount': (number);
  'headDimCount': (number);
  'dtype': (_kvspan_v1_Dtype__Output);
  /**
   * Requests that can be live at once.
   */
  'slotsCount': (number);
  /**
   * The longest request, in tokens.
   */
  'maxTokensCount': (number);
}
