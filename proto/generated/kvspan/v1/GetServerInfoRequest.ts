// Original file: proto/kvspan/v1/memory.proto


export interface GetServerInfoRequest {
}

export interface GetServerInfoRequest__Output {
}
