// Original file: proto/kvspan/v1/admin.proto


export interface GetPoolRequest {
}

export interface GetPoolRequest__Output {
}
