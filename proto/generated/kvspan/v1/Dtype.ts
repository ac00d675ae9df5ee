// Original file: proto/kvspan/v1/types.proto

export const Dtype = {
  DTYPE_UNSPECIFIED: 'DTYPE_UNSPECIFIED',
  DTYPE_BF16: 'DTYPE_BF16',
  DTYPE_FP16: 'DTYPE_FP16',
  DTYPE_FP32: 'DTYPE_FP32',
  DTYPE_FP8_E4M3: 'DTYPE_FP8_E4M3',
  DTYPE_FP8_E5M2: 'DTYPE_FP8_E5M2',
} as const;

export type Dtype =
  | 'DTYPE_UNSPECIFIED'
  | 0
  | 'DTYPE_BF16'
  | 1
  | 'DTYPE_FP16'
  | 2
  | 'DTYPE_FP32'
  | 3
  | 'DTYPE_FP8_E4M3'
  | 4
  | 'DTYPE_FP8_E5M2'
  | 5

export type Dtype__Output = typeof Dtype[keyof typeof Dtype]
