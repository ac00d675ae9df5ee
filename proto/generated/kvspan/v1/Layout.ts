// Original file: proto/kvspan/v1/types.proto

export const Layout = {
  LAYOUT_UNSPECIFIED: 'LAYOUT_UNSPECIFIED',
  /**
   * [token, layer, K/V, kvHead, dim]: one lane a slot. The default.
   */
  LAYOUT_TOKEN_MAJOR: 'LAYOUT_TOKEN_MAJOR',
  /**
   * [token, kvHead, dim] per layer and K/V: 2 x layers lanes a slot.
   */
  LAYOUT_LAYER_MAJOR: 'LAYOUT_LAYER_MAJOR',
  /**
   * [token, layer, dim]: one lane a slot, no separate V (MLA).
   */
  LAYOUT_LATENT: 'LAYOUT_LATENT',
} as const;

export type Layout =
  | 'LAYOUT_UNSPECIFIED'
  | 0
  /**
   * [token, layer, K/V, kvHead, dim]: one lane a slot. The default.
   */
  | 'LAYOUT_TOKEN_MAJOR'
  | 1
  /**
   * [token, kvHead, dim] per layer and K/V: 2 x layers lanes a slot.
   */
  | 'LAYOUT_LAYER_MAJOR'
  | 2
  /**
   * [token, layer, dim]: one lane a slot, no separate V (MLA).
   */
  | 'LAYOUT_LATENT'
  | 3

export type Layout__Output = typeof Layout[keyof typeof Layout]
