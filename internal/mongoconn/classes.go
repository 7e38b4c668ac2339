package mongoconn

// Class says what an error means for whoever sent the operation.
type Class int

// The classes of an error.
const (
	None Class = iota // there is no error
	// Transient: send the same operation again, after a pause. It passes by
	// itself, or when somebody mends what the error names.
	Transient
	// Doubtful: it may pass by itself, or never. Send the same operation again a
	// few times, then take it for permanent.
	Doubtful
	// Repairable: the same operation will not succeed, but there is another way:
	// open the cursor or the session anew, read the document or the catalogue
	// again and go by what they are now.
	Repairable
	// Permanent: neither helps. Somebody has to change something.
	Permanent
)

func (c Class) String() string {
	return [...]string{"none", "transient", "doubtful", "repairable", "permanent"}[c]
}

// A codeInfo is the name of a server error and what it means.
type codeInfo struct {
	name  string
	class Class
}

// codes are the errors of servers 6.0 to 8.0 that shardferry may meet, by the
// names and categories of src/mongo/base/error_codes.yml. A code that is not
// here is doubtful.
var codes = map[int]codeInfo{
	1:        {"InternalError", Doubtful},
	2:        {"BadValue", Repairable},
	6:        {"HostUnreachable", Transient},
	7:        {"HostNotFound", Transient},
	9:        {"FailedToParse", Permanent},
	11:       {"UserNotFound", Permanent},
	13:       {"Unauthorized", Permanent},
	14:       {"TypeMismatch", Repairable},
	18:       {"AuthenticationFailed", Doubtful}, // keys that rotate, an election
	20:       {"IllegalOperation", Permanent},
	23:       {"AlreadyInitialized", Repairable},
	24:       {"LockTimeout", Transient},
	26:       {"NamespaceNotFound", Repairable},
	27:       {"IndexNotFound", Repairable},
	28:       {"PathNotViable", Repairable},
	29:       {"NonExistentPath", Repairable},
	31:       {"RoleNotFound", Permanent},
	40:       {"ConflictingUpdateOperators", Repairable},
	43:       {"CursorNotFound", Repairable},
	46:       {"LockBusy", Transient},
	47:       {"NoMatchingDocument", Permanent},
	48:       {"NamespaceExists", Repairable},
	50:       {"MaxTimeMSExpired", Transient},
	52:       {"DollarPrefixedFieldName", Repairable},
	53:       {"InvalidIdField", Permanent},
	56:       {"EmptyFieldName", Repairable},
	57:       {"DottedFieldName", Repairable},
	59:       {"CommandNotFound", Permanent},
	61:       {"ShardKeyNotFound", Permanent},
	63:       {"StaleShardVersion", Transient},
	64:       {"WriteConcernFailed", Transient}, // timed out: the write may have been applied
	66:       {"ImmutableField", Repairable},
	67:       {"CannotCreateIndex", Permanent},
	68:       {"IndexAlreadyExists", Repairable},
	70:       {"ShardNotFound", Doubtful},
	72:       {"InvalidOptions", Permanent},
	73:       {"InvalidNamespace", Permanent},
	79:       {"UnknownReplWriteConcern", Permanent},
	85:       {"IndexOptionsConflict", Repairable},
	86:       {"IndexKeySpecsConflict", Repairable},
	89:       {"NetworkTimeout", Transient},
	90:       {"CallbackCanceled", Transient},
	91:       {"ShutdownInProgress", Transient},
	96:       {"OperationFailed", Doubtful},
	100:      {"UnsatisfiableWriteConcern", Permanent},
	107:      {"LockFailed", Transient},
	112:      {"WriteConflict", Transient},
	115:      {"CommandNotSupported", Permanent},
	116:      {"DocTooLargeForCapped", Permanent},
	117:      {"ConflictingOperationInProgress", Transient},
	118:      {"NamespaceNotSharded", Repairable},
	121:      {"DocumentValidationFailure", Permanent},
	125:      {"CommandFailed", Doubtful},
	133:      {"FailedToSatisfyReadPreference", Transient},
	134:      {"ReadConcernMajorityNotAvailableYet", Transient},
	136:      {"CappedPositionLost", Permanent},
	146:      {"ExceededMemoryLimit", Permanent},
	150:      {"StaleEpoch", Transient},
	166:      {"CommandNotSupportedOnView", Repairable},
	170:      {"TooManyMatchingDocuments", Permanent},
	175:      {"QueryPlanKilled", Repairable},
	177:      {"ZoneNotFound", Permanent},
	178:      {"RangeOverlapConflict", Permanent},
	187:      {"TransportSessionClosed", Transient},
	189:      {"PrimarySteppedDown", Transient},
	202:      {"NetworkInterfaceExceededTimeLimit", Transient},
	203:      {"ShardingStateNotInitialized", Transient},
	204:      {"TimeProofMismatch", Doubtful},
	205:      {"ClusterTimeFailsRateLimiter", Doubtful},
	206:      {"NoSuchSession", Repairable},
	209:      {"StaleClusterTime", Repairable},
	210:      {"CannotVerifyAndSignLogicalTime", Doubtful},
	211:      {"KeyNotFound", Doubtful},
	215:      {"DatabaseDropPending", Transient},
	216:      {"ElectionInProgress", Transient},
	217:      {"IncompleteTransactionHistory", Repairable}, // the outcome is unknown
	222:      {"CloseChangeStream", Repairable},
	225:      {"TransactionTooOld", Repairable},
	227:      {"CannotImplicitlyCreateCollection", Transient},
	234:      {"RetryChangeStream", Transient},
	237:      {"CursorKilled", Transient},
	239:      {"SnapshotTooOld", Repairable},
	246:      {"SnapshotUnavailable", Repairable},
	249:      {"StaleDbVersion", Transient},
	250:      {"StaleChunkHistory", Repairable},
	251:      {"NoSuchTransaction", Repairable},
	256:      {"TransactionCommitted", Repairable},
	257:      {"TransactionTooLarge", Permanent},
	260:      {"InvalidResumeToken", Permanent},
	261:      {"TooManyLogicalSessions", Transient},
	262:      {"ExceededTimeLimit", Transient},
	263:      {"OperationNotSupportedInTransaction", Permanent},
	267:      {"PreparedTransactionInProgress", Transient},
	272:      {"MigrationConflict", Repairable},
	276:      {"IndexBuildAborted", Transient},
	279:      {"ClientDisconnect", Transient},
	280:      {"ChangeStreamFatalError", Repairable}, // of a token; a stream can be opened at a time
	282:      {"TransactionCoordinatorReachedAbortDecision", Transient},
	283:      {"WouldChangeOwningShard", Doubtful},
	285:      {"IndexBuildAlreadyInProgress", Transient},
	286:      {"ChangeStreamHistoryLost", Permanent},
	290:      {"TransactionExceededLifetimeLimitSeconds", Repairable},
	292:      {"QueryExceededMemoryLimitNoDiskUseAllowed", Permanent},
	314:      {"ObjectIsBusy", Transient},
	317:      {"ConnectionPoolExpired", Transient},
	319:      {"MovePrimaryInProgress", Transient},
	322:      {"APIVersionError", Permanent},
	323:      {"APIStrictError", Permanent},
	324:      {"APIDeprecationError", Permanent},
	326:      {"OplogQueryMinTsMissing", Permanent},
	338:      {"ReshardCollectionInProgress", Transient},
	342:      {"ReshardingCriticalSectionTimeout", Transient},
	343:      {"ShardCannotRefreshDueToLocksHeld", Transient},
	347:      {"APIMismatchError", Permanent},
	352:      {"UnsupportedOpQueryCommand", Permanent},
	355:      {"InterruptedDueToStorageChange", Transient},
	358:      {"InternalTransactionNotSupported", Transient},
	359:      {"CannotConvertIndexToUnique", Permanent},
	361:      {"CollectionUUIDMismatch", Repairable},
	363:      {"RetryableTransactionInProgress", Transient},
	365:      {"TemporarilyUnavailable", Transient},
	366:      {"WouldChangeOwningShardDeletedNoDocument", Doubtful},
	370:      {"CannotDropShardKeyIndex", Permanent},
	371:      {"UserWritesBlocked", Transient}, // whoever has blocked the cluster opens it again
	384:      {"ConnectionError", Transient},
	386:      {"DuplicateKeyId", Repairable},
	402:      {"ResourceExhausted", Transient},
	403:      {"UnsupportedShardingEventNotification", Permanent},
	406:      {"ReplicaSetMonitorsCleaningUp", Transient},
	407:      {"PooledConnectionAcquisitionExceededTimeLimit", Transient},
	412:      {"UpdatesStillPending", Transient},
	414:      {"AddOrRemoveShardInProgress", Transient},
	433:      {"PooledConnectionAcquisitionRejected", Transient},
	449:      {"RateLimitExceeded", Transient},
	450:      {"SystemOverloaded", Transient},
	453:      {"InterruptedDueToReshardingCriticalSection", Transient},
	462:      {"IngressRequestRateLimitExceeded", Transient},
	9001:     {"SocketException", Transient},
	10003:    {"CannotGrowDocumentInCappedNamespace", Permanent},
	10107:    {"NotWritablePrimary", Transient},
	10334:    {"BSONObjectTooLarge", Permanent},
	11000:    {"DuplicateKey", Repairable},
	11600:    {"InterruptedAtShutdown", Transient},
	11601:    {"Interrupted", Transient},
	11602:    {"InterruptedDueToReplStateChange", Transient},
	12586:    {"BackgroundOperationInProgressForDatabase", Transient},
	12587:    {"BackgroundOperationInProgressForNamespace", Transient},
	13113:    {"MergeStageNoMatchingDocument", Permanent},
	13297:    {"DatabaseDifferCase", Permanent},
	13388:    {"StaleConfig", Transient},
	13435:    {"NotPrimaryNoSecondaryOk", Transient},
	13436:    {"NotPrimaryOrSecondary", Transient},
	13548:    {"BufBuilder overflow", Permanent},
	14031:    {"OutOfDiskSpace", Transient}, // until somebody makes room
	28769:    {"NamespaceCannotBeSharded", Permanent},
	31123:    {"change stream option", Permanent},
	40414:    {"IDLFailedToParse", Permanent},
	40415:    {"IDLUnknownField", Permanent},
	40573:    {"change stream option", Permanent},
	40674:    {"change stream option", Permanent},
	46841:    {"ClientMarkedKilled", Transient},
	50768:    {"NotARetryableWriteCommand", Permanent},
	50808:    {"change stream option", Permanent},
	50865:    {"change stream option", Permanent},
	50915:    {"BackupCursorOpenConflictWithCheckpoint", Transient},
	91331:    {"RetriableRemoteCommandFailure", Transient},
	10045600: {"InterruptedDueToFCVChange", Transient},
}

// ClassOfCode returns what an error of a code means.
func ClassOfCode(code int) Class {
	if info, ok := codes[code]; ok {
		return info.class
	}
	return Doubtful
}

// CodeName returns the name that servers give to a code, empty if it is not
// known. Statement errors come without it.
func CodeName(code int) string { return codes[code].name }
