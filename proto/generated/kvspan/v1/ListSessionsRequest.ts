// Original file: proto/kvspan/v1/admin.proto


export interface ListSessionsRequest {
}

export interface ListSessionsRequest__Output {
}
