package mongoconn

// Server error codes that shardferry acts upon
// (src/mongo/base/error_codes.yml).
const (
	CodeBadValue                   = 2
	CodeFailedToParse              = 9
	CodeUserNotFound               = 11
	CodeUnauthorized               = 13
	CodeTypeMismatch               = 14
	CodeAuthenticationFailed       = 18
	CodeAlreadyInitialized         = 23
	CodeNamespaceNotFound          = 26
	CodeIndexNotFound              = 27
	CodePathNotViable              = 28
	CodeNonExistentPath            = 29
	CodeRoleNotFound               = 31
	CodeConflictingUpdate          = 40
	CodeCursorNotFound             = 43
	CodeNamespaceExists            = 48
	CodeMaxTimeMSExpired           = 50
	CodeDollarPrefixedFieldName    = 52
	CodeDottedFieldName            = 57
	CodeCommandNotFound            = 59
	CodeImmutableField             = 66
	CodeIndexOptionsConflict       = 85
	CodeIndexKeySpecsConflict      = 86
	CodeCappedPositionLost         = 136
	CodeQueryPlanKilled            = 175
	CodeStaleClusterTime           = 209
	CodeTransactionTooOld          = 225
	CodeNoSuchTransaction          = 251
	CodeInvalidResumeToken         = 260
	CodeChangeStreamFatal          = 280
	CodeChangeStreamHistoryLost    = 286
	CodeCannotConvertIndexToUnique = 359
	CodeCollectionUUIDMismatch     = 361
	CodeCannotDropShardKeyIndex    = 370
	CodeUserWritesBlocked          = 371
	CodeBSONObjectTooLarge         = 10334
	CodeDuplicateKey               = 11000
	CodeOutOfDiskSpace             = 14031
	CodeUnknownStage               = 40324
	CodeEmptyBounds                = 51175 // min is not before max
)
