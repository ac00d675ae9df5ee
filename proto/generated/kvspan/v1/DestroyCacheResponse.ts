// Original file: proto/kvspan/v1/memory.proto


export interface DestroyCacheResponse {
}

export interface DestroyCacheResponse__Output {
}
