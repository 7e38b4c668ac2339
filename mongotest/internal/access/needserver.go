package access

import (
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// sessionRules are the rules of what every client does.
var sessionRules = map[string]rule{
	"hello": nothing, "isMaster": nothing, "ismaster": nothing, "ping": nothing, "testVersion2": nothing, "buildInfo": nothing, "buildinfo": nothing,
	"connectionStatus": nothing, "whatsmyuri": nothing, "listCommands": nothing, "logout": nothing,
	"saslStart": nothing, "saslContinue": nothing, "authenticate": nothing, "getnonce": nothing, "features": nothing,
	"startSession": nothing, "endSessions": nothing, "refreshSessions": nothing, "killSessions": nothing,
	"commitTransaction": nothing, "abortTransaction": nothing, "prepareTransaction": onServer("internal"),
	"coordinateCommitTransaction": onServer("internal"),
	"killAllSessions":             onServer("killAnySession"), "killAllSessionsByPattern": onServer("killAnySession"),
}

// serverRules are the rules of the commands on the cluster or its processes.
var serverRules = map[string]rule{
	"serverStatus": onServer("serverStatus"), "hostInfo": onServer("hostInfo"), "getLog": onServer("getLog"),
	"getCmdLineOpts": onServer("getCmdLineOpts"), "top": onServer("top"), "connPoolStats": onServer("connPoolStats"),
	"connPoolSync": onServer("connPoolSync"), "lockInfo": onServer("serverStatus"), "logRotate": onServer("logRotate"),
	"getParameter": onServer("getParameter"), "setParameter": onServer("setParameter"),
	"getClusterParameter": onServer("getClusterParameter"), "setClusterParameter": onServer("setClusterParameter"),
	"currentOp": currentOpCommand, "killOp": onServer("killop"),
	"autoCompact": onServer("compact"), "fsync": onServer("fsync"), "fsyncUnlock": onServer("unlock"), "dropConnections": onServer("dropConnections"),
	"replSetGetStatus": onServer("replSetGetStatus"), "replSetGetConfig": onServer("replSetGetConfig"),
	"replSetStepDown": onServer("replSetStateChange"), "replSetFreeze": onServer("replSetStateChange"),
	"replSetMaintenance": onServer("replSetStateChange"), "replSetSyncFrom": onServer("replSetStateChange"),
	"replSetReconfig": onServer("replSetConfigure"), "replSetInitiate": onServer("replSetConfigure"),
	"replSetAbortPrimaryCatchUp": onServer("replSetStateChange"), "replSetResizeOplog": onServer("replSetResizeOplog"),
	"getDefaultRWConcern": onServer("getDefaultRWConcern"), "setDefaultRWConcern": onServer("setDefaultRWConcern"),
	"setFeatureCompatibilityVersion": onServer("setFeatureCompatibilityVersion"),
	"setUserWriteBlockMode":          onServer("setUserWriteBlockMode"), "appendOplogNote": onServer("appendOplogNote"),
	"configureFailPoint": nothing, "waitForFailPoint": nothing, "simulate": onServer("shutdown"), "shutdown": onServer("shutdown"),
	"rotateCertificates": onServer("rotateCertificates"), "setAuditConfig": onServer("auditConfigure"), "getAuditConfig": onServer("auditConfigure"),
	"auditConfigure": onServer("auditConfigure"), "logApplicationMessage": onServer("applicationMessage"),
	"logMessage": onServer("applicationMessage"), "setIndexCommitQuorum": onColl("createIndex"),
	"setQuerySettings": onServer("setClusterParameter"), "removeQuerySettings": onServer("setClusterParameter"),
	"oidcListKeys": onServer("internal"), "oidcRefreshKeys": onServer("internal"),
}

// currentOpCommand shows everybody his own operations.
func currentOpCommand(req *command.Request) []Need {
	if value.Truthy(req.Body.Lookup("$ownOps")) {
		return nil
	}
	return needs(Resource{Cluster: true}, "inprog")
}
