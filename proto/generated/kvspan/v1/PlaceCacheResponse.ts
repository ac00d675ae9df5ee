// Original file: proto/kvspan/v1/memory.proto


export interface PlaceCacheResponse {
}

export interface PlaceCacheResponse__Output {
}
