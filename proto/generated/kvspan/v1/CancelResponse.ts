// Original file: proto/kvspan/v1/memory.proto


export interface CancelResponse {
  /**
   * False: there was no such grant waiting (already answered).
   */
  'cancelled'?: (boolean);
}

export interface CancelResponse__Output {
  /**
   * False: there was no such grant waiting (already answered).
   */
  'cancelled': (boolean);
}
