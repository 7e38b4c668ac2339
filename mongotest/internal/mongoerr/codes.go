package mongoerr

// The server's named error codes (src/mongo/base/error_codes.yml).
const (
	InternalError                             Code = 1
	BadValue                                  Code = 2
	NoSuchKey                                 Code = 4
	GraphContainsCycle                        Code = 5
	HostUnreachable                           Code = 6
	HostNotFound                              Code = 7
	UnknownError                              Code = 8
	FailedToParse                             Code = 9
	UserNotFound                              Code = 11
	Unauthorized                              Code = 13
	TypeMismatch                              Code = 14
	Overflow                                  Code = 15
	UnsupportedFormat                         Code = 12
	InvalidLength                             Code = 16
	ProtocolError                             Code = 17
	AuthenticationFailed                      Code = 18
	IllegalOperation                          Code = 20
	InvalidBSON                               Code = 22
	AlreadyInitialized                        Code = 23
	LockTimeout                               Code = 24
	NamespaceNotFound                         Code = 26
	IndexNotFound                             Code = 27
	PathNotViable                             Code = 28
	NonExistentPath                           Code = 29
	RoleNotFound                              Code = 31
	CannotBackfillArray                       Code = 33
	ConflictingUpdateOperators                Code = 40
	CursorNotFound                            Code = 43
	LockBusy                                  Code = 46
	NoMatchingDocument                        Code = 47
	NamespaceExists                           Code = 48
	InvalidRoleModification                   Code = 49
	MaxTimeMSExpired                          Code = 50
	UnknownRoles                              Code = 51
	DollarPrefixedFieldName                   Code = 52
	InvalidIDField                            Code = 53
	NotSingleValueField                       Code = 54
	EmptyFieldName                            Code = 56
	DottedFieldName                           Code = 57
	CommandNotFound                           Code = 59
	ShardKeyNotFound                          Code = 61
	WriteConcernTimeout                       Code = 64
	ImmutableField                            Code = 66
	CannotCreateIndex                         Code = 67
	IndexAlreadyExists                        Code = 68
	ShardNotFound                             Code = 70
	InvalidOptions                            Code = 72
	InvalidNamespace                          Code = 73
	UnknownReplWriteConcern                   Code = 79
	IndexOptionsConflict                      Code = 85
	IndexKeySpecsConflict                     Code = 86
	NetworkTimeout                            Code = 89
	CallbackCanceled                          Code = 90
	ShutdownInProgress                        Code = 91
	NotSecondary                              Code = 95
	OperationFailed                           Code = 96
	UnsatisfiableWriteConcern                 Code = 100
	NoProgressMade                            Code = 82
	LockFailed                                Code = 107
	WriteConflict                             Code = 112
	CommandNotSupported                       Code = 115
	DocTooLargeForCapped                      Code = 116
	ConflictingOperationInProgress            Code = 117
	NamespaceNotSharded                       Code = 118
	InvalidSyncSource                         Code = 119
	DocumentValidationFailure                 Code = 121
	NotAReplicaSet                            Code = 123
	CommandFailed                             Code = 125
	FailedToSatisfyReadPreference             Code = 133
	ReadConcernMajorityNotAvailableYet        Code = 134
	CappedPositionLost                        Code = 136
	JSInterpreterFailure                      Code = 139
	ExceededMemoryLimit                       Code = 146
	StaleEpoch                                Code = 150
	MaxStalenessOutOfRange                    Code = 160
	DurationOverflow                          Code = 159
	IncompatibleCollationVersion              Code = 161
	ViewDepthLimitExceeded                    Code = 165
	CommandNotSupportedOnView                 Code = 166
	OptionNotSupportedOnView                  Code = 167
	InvalidPipelineOperator                   Code = 168
	TooManyMatchingDocuments                  Code = 170
	QueryPlanKilled                           Code = 175
	ZoneNotFound                              Code = 177
	RangeOverlapConflict                      Code = 178
	AmbiguousIndexKeyPattern                  Code = 181
	PrimarySteppedDown                        Code = 189
	InvalidIndexSpecificationOption           Code = 197
	NetworkInterfaceExceededTimeLimit         Code = 202
	ShardingStateNotInitialized               Code = 203
	NoSuchSession                             Code = 206
	InvalidUUID                               Code = 207
	StaleClusterTime                          Code = 209
	KeyNotFound                               Code = 211
	DatabaseDropPending                       Code = 215
	ElectionInProgress                        Code = 216
	IncompleteTransactionHistory              Code = 217
	QueryFeatureNotAllowed                    Code = 224
	TransactionTooOld                         Code = 225
	RetryChangeStream                         Code = 234
	CursorKilled                              Code = 237
	ClusterTimeFailsRateLimiter               Code = 205
	SnapshotTooOld                            Code = 239
	InvalidPipelineOperatorInView             Code = 240
	SnapshotUnavailable                       Code = 246
	StaleDbVersion                            Code = 249
	StaleChunkHistory                         Code = 250
	NoSuchTransaction                         Code = 251
	TransactionCommitted                      Code = 256
	TransactionTooLarge                       Code = 257
	InvalidResumeToken                        Code = 260
	ExceededTimeLimit                         Code = 262
	OperationNotSupportedInTransaction        Code = 263
	FailPointSetFailed                        Code = 266
	PreparedTransactionInProgress             Code = 267
	MigrationConflict                         Code = 272
	IndexBuildAborted                         Code = 276
	ClientDisconnect                          Code = 279
	ChangeStreamFatalError                    Code = 280
	WouldChangeOwningShard                    Code = 283
	ChangeStreamHistoryLost                   Code = 286
	TransactionExceededLifetimeLimitSeconds   Code = 290
	NoQueryExecutionPlans                     Code = 291
	QueryExceededMemoryLimitNoDiskUseAllowed  Code = 292
	MovePrimaryInProgress                     Code = 319
	APIVersionError                           Code = 322
	APIStrictError                            Code = 323
	APIDeprecationError                       Code = 324
	OplogQueryMinTsMissing                    Code = 326
	ChangeStreamInvalidated                   Code = 346
	UnsupportedOpQueryCommand                 Code = 352
	CannotConvertIndexToUnique                Code = 359
	CollectionUUIDMismatch                    Code = 361
	CannotDropShardKeyIndex                   Code = 370
	UserWritesBlocked                         Code = 371
	DuplicateKeyID                            Code = 386
	QueryRejectedBySettings                   Code = 411
	SocketException                           Code = 9001
	CannotGrowDocumentInCappedNamespace       Code = 10003
	NotWritablePrimary                        Code = 10107
	BSONObjectTooLarge                        Code = 10334
	DuplicateKey                              Code = 11000
	InterruptedAtShutdown                     Code = 11600
	Interrupted                               Code = 11601
	InterruptedDueToReplStateChange           Code = 11602
	BackgroundOperationInProgressForDatabase  Code = 12586
	BackgroundOperationInProgressForNamespace Code = 12587
	MergeStageNoMatchingDocument              Code = 13113
	DatabaseDifferCase                        Code = 13297
	NoSuchReshardCollection                   Code = 339
	ReshardCollectionCommitted                Code = 340
	ReshardCollectionAborted                  Code = 341
	StaleConfig                               Code = 13388
	NotPrimaryNoSecondaryOk                   Code = 13435
	NotPrimaryOrSecondary                     Code = 13436
	SearchNotEnabled                          Code = 31082
	OutOfDiskSpace                            Code = 14031
	NamespaceCannotBeSharded                  Code = 28769
	IDLFailedToParse                          Code = 40414
	IDLUnknownField                           Code = 40415
	NotARetryableWriteCommand                 Code = 50768
)

var names = map[Code]string{
	InternalError:                             "InternalError",
	BadValue:                                  "BadValue",
	NoSuchKey:                                 "NoSuchKey",
	GraphContainsCycle:                        "GraphContainsCycle",
	HostUnreachable:                           "HostUnreachable",
	HostNotFound:                              "HostNotFound",
	UnknownError:                              "UnknownError",
	FailedToParse:                             "FailedToParse",
	UserNotFound:                              "UserNotFound",
	Unauthorized:                              "Unauthorized",
	TypeMismatch:                              "TypeMismatch",
	Overflow:                                  "Overflow",
	UnsupportedFormat:                         "UnsupportedFormat",
	InvalidLength:                             "InvalidLength",
	ProtocolError:                             "ProtocolError",
	AuthenticationFailed:                      "AuthenticationFailed",
	IllegalOperation:                          "IllegalOperation",
	InvalidBSON:                               "InvalidBSON",
	AlreadyInitialized:                        "AlreadyInitialized",
	LockTimeout:                               "LockTimeout",
	NamespaceNotFound:                         "NamespaceNotFound",
	IndexNotFound:                             "IndexNotFound",
	PathNotViable:                             "PathNotViable",
	NonExistentPath:                           "NonExistentPath",
	RoleNotFound:                              "RoleNotFound",
	CannotBackfillArray:                       "CannotBackfillArray",
	ConflictingUpdateOperators:                "ConflictingUpdateOperators",
	CursorNotFound:                            "CursorNotFound",
	LockBusy:                                  "LockBusy",
	NoMatchingDocument:                        "NoMatchingDocument",
	NamespaceExists:                           "NamespaceExists",
	InvalidRoleModification:                   "InvalidRoleModification",
	MaxTimeMSExpired:                          "MaxTimeMSExpired",
	UnknownRoles:                              "UnknownRoles",
	DollarPrefixedFieldName:                   "DollarPrefixedFieldName",
	InvalidIDField:                            "InvalidIdField",
	NotSingleValueField:                       "NotSingleValueField",
	EmptyFieldName:                            "EmptyFieldName",
	DottedFieldName:                           "DottedFieldName",
	CommandNotFound:                           "CommandNotFound",
	ShardKeyNotFound:                          "ShardKeyNotFound",
	WriteConcernTimeout:                       "WriteConcernTimeout",
	ImmutableField:                            "ImmutableField",
	CannotCreateIndex:                         "CannotCreateIndex",
	IndexAlreadyExists:                        "IndexAlreadyExists",
	ShardNotFound:                             "ShardNotFound",
	InvalidOptions:                            "InvalidOptions",
	InvalidNamespace:                          "InvalidNamespace",
	UnknownReplWriteConcern:                   "UnknownReplWriteConcern",
	IndexOptionsConflict:                      "IndexOptionsConflict",
	IndexKeySpecsConflict:                     "IndexKeySpecsConflict",
	NetworkTimeout:                            "NetworkTimeout",
	CallbackCanceled:                          "CallbackCanceled",
	ShutdownInProgress:                        "ShutdownInProgress",
	NotSecondary:                              "NotSecondary",
	OperationFailed:                           "OperationFailed",
	UnsatisfiableWriteConcern:                 "UnsatisfiableWriteConcern",
	LockFailed:                                "LockFailed",
	WriteConflict:                             "WriteConflict",
	CommandNotSupported:                       "CommandNotSupported",
	DocTooLargeForCapped:                      "DocTooLargeForCapped",
	ConflictingOperationInProgress:            "ConflictingOperationInProgress",
	NamespaceNotSharded:                       "NamespaceNotSharded",
	InvalidSyncSource:                         "InvalidSyncSource",
	DocumentValidationFailure:                 "DocumentValidationFailure",
	NotAReplicaSet:                            "NotAReplicaSet",
	CommandFailed:                             "CommandFailed",
	FailedToSatisfyReadPreference:             "FailedToSatisfyReadPreference",
	ReadConcernMajorityNotAvailableYet:        "ReadConcernMajorityNotAvailableYet",
	CappedPositionLost:                        "CappedPositionLost",
	JSInterpreterFailure:                      "JSInterpreterFailure",
	ExceededMemoryLimit:                       "ExceededMemoryLimit",
	StaleEpoch:                                "StaleEpoch",
	DurationOverflow:                          "DurationOverflow",
	IncompatibleCollationVersion:              "IncompatibleCollationVersion",
	ViewDepthLimitExceeded:                    "ViewDepthLimitExceeded",
	CommandNotSupportedOnView:                 "CommandNotSupportedOnView",
	OptionNotSupportedOnView:                  "OptionNotSupportedOnView",
	InvalidPipelineOperator:                   "InvalidPipelineOperator",
	TooManyMatchingDocuments:                  "TooManyMatchingDocuments",
	QueryPlanKilled:                           "QueryPlanKilled",
	ZoneNotFound:                              "ZoneNotFound",
	RangeOverlapConflict:                      "RangeOverlapConflict",
	AmbiguousIndexKeyPattern:                  "AmbiguousIndexKeyPattern",
	PrimarySteppedDown:                        "PrimarySteppedDown",
	InvalidIndexSpecificationOption:           "InvalidIndexSpecificationOption",
	NetworkInterfaceExceededTimeLimit:         "NetworkInterfaceExceededTimeLimit",
	ShardingStateNotInitialized:               "ShardingStateNotInitialized",
	NoSuchSession:                             "NoSuchSession",
	InvalidUUID:                               "InvalidUUID",
	StaleClusterTime:                          "StaleClusterTime",
	KeyNotFound:                               "KeyNotFound",
	DatabaseDropPending:                       "DatabaseDropPending",
	ElectionInProgress:                        "ElectionInProgress",
	IncompleteTransactionHistory:              "IncompleteTransactionHistory",
	QueryFeatureNotAllowed:                    "QueryFeatureNotAllowed",
	TransactionTooOld:                         "TransactionTooOld",
	RetryChangeStream:                         "RetryChangeStream",
	CursorKilled:                              "CursorKilled",
	ClusterTimeFailsRateLimiter:               "ClusterTimeFailsRateLimiter",
	SnapshotTooOld:                            "SnapshotTooOld",
	InvalidPipelineOperatorInView:             "InvalidPipelineOperatorInView",
	SnapshotUnavailable:                       "SnapshotUnavailable",
	StaleChunkHistory:                         "StaleChunkHistory",
	NoProgressMade:                            "NoProgressMade",
	MaxStalenessOutOfRange:                    "MaxStalenessOutOfRange",
	NoSuchReshardCollection:                   "NoSuchReshardCollection",
	ReshardCollectionCommitted:                "ReshardCollectionCommitted",
	ReshardCollectionAborted:                  "ReshardCollectionAborted",
	StaleDbVersion:                            "StaleDbVersion",
	NoSuchTransaction:                         "NoSuchTransaction",
	TransactionCommitted:                      "TransactionCommitted",
	TransactionTooLarge:                       "TransactionTooLarge",
	InvalidResumeToken:                        "InvalidResumeToken",
	ExceededTimeLimit:                         "ExceededTimeLimit",
	OperationNotSupportedInTransaction:        "OperationNotSupportedInTransaction",
	FailPointSetFailed:                        "FailPointSetFailed",
	PreparedTransactionInProgress:             "PreparedTransactionInProgress",
	MigrationConflict:                         "MigrationConflict",
	IndexBuildAborted:                         "IndexBuildAborted",
	ClientDisconnect:                          "ClientDisconnect",
	ChangeStreamFatalError:                    "ChangeStreamFatalError",
	WouldChangeOwningShard:                    "WouldChangeOwningShard",
	ChangeStreamHistoryLost:                   "ChangeStreamHistoryLost",
	TransactionExceededLifetimeLimitSeconds:   "TransactionExceededLifetimeLimitSeconds",
	NoQueryExecutionPlans:                     "NoQueryExecutionPlans",
	QueryExceededMemoryLimitNoDiskUseAllowed:  "QueryExceededMemoryLimitNoDiskUseAllowed",
	MovePrimaryInProgress:                     "MovePrimaryInProgress",
	APIVersionError:                           "APIVersionError",
	APIStrictError:                            "APIStrictError",
	APIDeprecationError:                       "APIDeprecationError",
	OplogQueryMinTsMissing:                    "OplogQueryMinTsMissing",
	ChangeStreamInvalidated:                   "ChangeStreamInvalidated",
	UnsupportedOpQueryCommand:                 "UnsupportedOpQueryCommand",
	CannotConvertIndexToUnique:                "CannotConvertIndexToUnique",
	CollectionUUIDMismatch:                    "CollectionUUIDMismatch",
	CannotDropShardKeyIndex:                   "CannotDropShardKeyIndex",
	UserWritesBlocked:                         "UserWritesBlocked",
	DuplicateKeyID:                            "DuplicateKeyId",
	QueryRejectedBySettings:                   "QueryRejectedBySettings",
	SocketException:                           "SocketException",
	CannotGrowDocumentInCappedNamespace:       "CannotGrowDocumentInCappedNamespace",
	NotWritablePrimary:                        "NotWritablePrimary",
	BSONObjectTooLarge:                        "BSONObjectTooLarge",
	DuplicateKey:                              "DuplicateKey",
	InterruptedAtShutdown:                     "InterruptedAtShutdown",
	Interrupted:                               "Interrupted",
	InterruptedDueToReplStateChange:           "InterruptedDueToReplStateChange",
	BackgroundOperationInProgressForDatabase:  "BackgroundOperationInProgressForDatabase",
	BackgroundOperationInProgressForNamespace: "BackgroundOperationInProgressForNamespace",
	MergeStageNoMatchingDocument:              "MergeStageNoMatchingDocument",
	DatabaseDifferCase:                        "DatabaseDifferCase",
	StaleConfig:                               "StaleConfig",
	NotPrimaryNoSecondaryOk:                   "NotPrimaryNoSecondaryOk",
	NotPrimaryOrSecondary:                     "NotPrimaryOrSecondary",
	SearchNotEnabled:                          "SearchNotEnabled",
	OutOfDiskSpace:                            "OutOfDiskSpace",
	NamespaceCannotBeSharded:                  "NamespaceCannotBeSharded",
	IDLFailedToParse:                          "IDLFailedToParse",
	IDLUnknownField:                           "IDLUnknownField",
	NotARetryableWriteCommand:                 "NotARetryableWriteCommand",
}
