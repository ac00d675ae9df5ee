// Original file: proto/kvspan/v1/memory.proto


export interface ReclaimReportResponse {
}

export interface ReclaimReportResponse__Output {
}
