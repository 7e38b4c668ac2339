package mongoconn

// Server error codes that shardferry acts upon
// (src/mongo/base/error_codes.yml).
const (
	CodeBadValue                   = 2
	CodeFailedToParse              = 9
	CodeUnauthorized               = 13
	CodeTypeMismatch               = 14
	CodeAuthenticationFailed       = 18
	CodeAlreadyInitialized         = 23
	CodeNamespaceNotFound          = 26
	CodeIndexNotFound              = 27
	CodePathNotViable              = 28
	CodeNonExistentPath            = 29
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
	CodeInvalidResumeToken         = 260
	CodeChangeStreamFatal          = 280
	CodeChangeStreamHistoryLost    = 286
	CodeCannotConvertIndexToUnique = 359
	CodeCollectionUUIDMismatch     = 361
	CodeUserWritesBlocked          = 371
	CodeBSONObjectTooLarge         = 10334
	CodeDuplicateKey               = 11000
	CodeUnknownStage               = 40324
)

// transient lists the codes after which the same operation may be sent again:
// elections, shutdowns, network trouble behind a mongos, exhausted time limits,
// and sharding metadata that moves on by itself.
var transient = map[int]bool{
	6: true, 7: true, 24: true, 46: true, 50: true, 64: true, 89: true, 91: true,
	107: true, 112: true, 117: true, 133: true, 134: true, 150: true, 189: true,
	202: true, 203: true, 215: true, 216: true, 234: true, 237: true, 249: true,
	262: true, 267: true, 276: true, 279: true, 285: true, 314: true, 317: true,
	319: true, 338: true, 355: true, 358: true, 363: true, 365: true, 384: true,
	402: true, 406: true, 407: true, 412: true, 414: true, 433: true, 449: true,
	450: true, 453: true, 462: true, 9001: true, 10107: true, 11600: true,
	11601: true, 11602: true, 12586: true, 12587: true, 13388: true, 13435: true,
	13436: true, 91331: true,
}
