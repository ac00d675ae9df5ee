// Original file: proto/kvspan/v1/memory.proto


export interface UpdatePromiseResponse {
}

export interface UpdatePromiseResponse__Output {
}
