// Original file: proto/kvspan/v1/memory.proto


export interface PromiseUpdateResponse {
}

export interface PromiseUpdateResponse__Output {
}
