package mongod

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/errlabel"
	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// An operation is one command while it runs.
type operation struct {
	node    *Node
	line    *line // that the node is on; it stays op's, whatever becomes of the node
	handler *handler
	req     *command.Request
	running *running
	ctx     context.Context //nolint:containedctx // ends the scripts of expressions, which are evaluated without one
	scripts *script         // nil until something may have JavaScript
	inSession
	concern  readConcern
	snapshot *storage.Transaction // the snapshot it reads, nil for the latest data
	within   *storage.Tx          // of runWriteCatalog, which has the engine to itself
	owned    func(bson.Raw) bool  // the documents this shard owns, nil for all
}

// inSession is what an operation is in its session: nothing, a retryable write,
// or a statement of a transaction.
type inSession struct {
	session *session     // nil without lsid
	number  int64        // txnNumber, noNumber without
	start   bool         // startTransaction
	inTxn   bool         // autocommit: false
	txn     *transaction // the open transaction the command belongs to
}

// newOperation reads the generic arguments of the command.
func (n *Node) newOperation(h *handler, req *command.Request) (*operation, error) {
	op := &operation{node: n, handler: h, req: req, inSession: inSession{number: noNumber}}
	op.enterLine()
	a := op.args()
	lsid := a.doc("lsid")
	if a.has("txnNumber") {
		op.number = a.int64("txnNumber", 0)
		if a.err == nil && op.number < 0 {
			return nil, mongoerr.New(mongoerr.InvalidOptions, "Transaction number cannot be negative")
		}
	}
	op.start = a.bool("startTransaction", false)
	if a.bool("autocommit", false) {
		a.fail(mongoerr.InvalidOptions, "Specifying autocommit=true is not allowed.")
	}
	op.inTxn = a.has("autocommit")
	op.concern = a.readConcern()
	if op.concern.level == "" && !op.inTxn && h.has(isRead) && op.concern.at.IsZero() {
		op.concern.level, op.concern.byDefault = n.set.wide.concerns.level(), true
	}
	if a.err != nil {
		return nil, a.err
	}
	if op.number != noNumber && lsid == nil {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "Transaction number requires a session ID to also be specified")
	}
	if op.start && !op.inTxn {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "'startTransaction' field requires 'autocommit' field to also be specified")
	}
	if op.inTxn && op.number == noNumber {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "'autocommit' field requires a transaction number to also be specified")
	}
	if err := op.checkNumberAllowed(); err != nil {
		return nil, err
	}
	if err := command.CheckReadConcern(req); err != nil {
		return nil, err
	}
	if err := op.checkConcernsAllowed(); err != nil {
		return nil, err
	}
	if lsid != nil {
		s, err := op.line.sessions.use(lsid, req.Client)
		if err != nil {
			return nil, err
		}
		op.session = s
	}
	return op, nil
}

// checkNumberAllowed refuses transaction numbers and transactions on commands
// that can have none.
func (op *operation) checkNumberAllowed() error {
	switch {
	case op.inTxn && !op.handler.has(txnOK):
		return mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "Cannot run '%s' in a multi-document transaction.", op.req.Name)
	case op.number != noNumber && !op.inTxn && !op.handler.has(retryable):
		return mongoerr.New(mongoerr.NotARetryableWriteCommand,
			"txnNumber may only be provided for multi-document transactions and retryable write commands. autocommit:false was not provided, and %s is not a retryable write command.", op.req.Name)
	}
	return nil
}

// checkConcernsAllowed refuses a write concern on commands that write nothing,
// and other read concerns than local on those that read nothing. In
// transactions the read concern is the whole transaction's.
func (op *operation) checkConcernsAllowed() error {
	if op.req.Routed != nil {
		return nil
	}
	if op.args().has("writeConcern") && !op.handler.has(isWrite) {
		return mongoerr.New(mongoerr.InvalidOptions, "Command %s does not support writeConcern", op.req.Name)
	}
	if level := op.concern.level; level != "" && level != "local" && !op.inTxn && !op.handler.has(isRead) {
		return mongoerr.New(mongoerr.InvalidOptions, "Command %s does not support { readConcern: { level: \"%s\", provenance: \"clientSupplied\" } } :: caused by :: read concern not supported",
			op.req.Name, level)
	}
	return nil
}

// begin makes op a running operation: it can be interrupted from now on, until
// the returned function is called, which must be.
func (n *Node) begin(ctx context.Context, op *operation) (context.Context, func(), error) {
	ctx, op.running = n.ops.begin(ctx, op)
	end := func() { n.ops.end(op.running) }
	if err := n.gossip(op.req); err != nil {
		end()
		return nil, nil, err
	}
	err := op.checkRole()
	if err == nil {
		err = op.checkLine()
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	limit := op.args().int64("maxTimeMS", 0)
	op.ctx = ctx
	if limit <= 0 || op.handler.has(awaits) || n.cfg.FailPoints.On(failpoint.NoTimeOut) {
		return ctx, end, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(limit)*time.Millisecond, maxTimeExpired())
	op.ctx = ctx
	return ctx, func() { cancel(); end() }, nil
}

func maxTimeExpired() error {
	return mongoerr.New(mongoerr.MaxTimeMSExpired, "operation exceeded time limit")
}

// execute runs the handler inside its session, transaction and read concern.
func (n *Node) execute(ctx context.Context, op *operation) (bson.Raw, error) {
	if op.number == noNumber {
		if err := op.admit(ctx); err != nil {
			return nil, err
		}
		if err := op.awaitReadConcern(ctx); err != nil {
			return nil, err
		}
		return op.handler.run(ctx, op)
	}
	if err := op.session.checkOut(ctx); err != nil {
		return nil, err
	}
	defer op.session.checkIn()
	if err := op.admit(ctx); err != nil { // a transaction lives on: its router asks again
		return nil, err
	}
	if !op.inTxn {
		if err := op.session.startNumber(op); err != nil {
			return nil, err
		}
		return op.handler.run(ctx, op)
	}
	return op.executeInTxn(ctx)
}

// view runs fn on the data op reads: a transaction's, a snapshot's or the
// latest. fn must not block, and must not keep the Tx.
func (op *operation) view(fn func(*storage.Tx) error) error {
	switch {
	case op.within != nil:
		return fn(op.within)
	case op.txn != nil:
		return op.txn.inner.View(fn)
	case op.snapshot != nil:
		return op.snapshotView()(fn)
	default:
		return op.line.engine.View(fn)
	}
}

// write runs fn, which may change ns, atomically: in op's transaction or as one
// of its own. It fails with UserWritesBlocked if the write block stands. Outside
// of transactions fn is repeated after a conflict with one, and anywhere after
// scripts have been asked, so it must start anew each time and return the
// conflict.
func (op *operation) write(ctx context.Context, ns string, fn func(*storage.Tx) error) error {
	if s := op.scripts; s != nil && s.wanted {
		return s.judged(ctx, fn, func(fn func(*storage.Tx) error) error { return op.writeOnce(ctx, ns, fn) })
	}
	return op.writeOnce(ctx, ns, fn)
}

func (op *operation) writeOnce(ctx context.Context, ns string, fn func(*storage.Tx) error) error {
	if op.within != nil {
		return fn(op.within)
	}
	if err := ctx.Err(); err != nil {
		return interrupted(ctx, err)
	}
	if err := op.checkWritable(ns); err != nil {
		return err
	}
	if op.node.full.Load() {
		return mongoerr.New(mongoerr.OutOfDiskSpace, "No space left on device: cannot write to %s", ns)
	}
	if err := op.node.records.lock.wait(ctx); err != nil {
		return interrupted(ctx, err)
	}
	if err := op.line.block.enter(op.exemptFromBlock(ns)); err != nil {
		return err
	}
	defer op.line.block.leave(op.exemptFromBlock(ns))
	if op.txn != nil {
		if !op.txn.wrote {
			op.session.change(func() { op.txn.wrote = true })
		}
		if op.node.cfg.FailPoints.Fires(failpoint.Conflict) {
			return mongoerr.New(mongoerr.WriteConflict, "WriteConflict: this operation conflicted with another operation. Please retry your operation or multi-document transaction.").
				WithLabel(errlabel.TransientTransaction)
		}
		return op.doInTxn(ctx, fn)
	}
	if op.isRetryable() {
		fn = op.disturbed(fn)
	}
	err := op.line.engine.UpdateWait(ctx, fn)
	op.node.set.accounts.note(ns)
	return interrupted(ctx, err)
}

// doInTxn repeats fn after each prepared transaction that it has to wait for.
func (op *operation) doInTxn(ctx context.Context, fn func(*storage.Tx) error) error {
	for {
		err := op.txn.inner.Do(fn)
		var met *storage.PrepareConflictError
		if !errors.As(err, &met) {
			return err
		}
		select {
		case <-met.Decided:
		case <-ctx.Done():
			return interrupted(ctx, ctx.Err())
		}
	}
}

// disturbed returns fn with the fail point of retryable writes behind it.
func (op *operation) disturbed(fn func(*storage.Tx) error) func(*storage.Tx) error {
	return func(tx *storage.Tx) error {
		if err := fn(tx); err != nil || !tx.Changed() {
			return err
		}
		hangUp, undo := op.node.cfg.FailPoints.TakeWrite()
		op.running.hangUp = op.running.hangUp || hangUp
		return undo
	}
}

// checkWritable refuses writes to namespaces that only the server writes.
func (op *operation) checkWritable(ns string) error {
	db, _ := oplog.SplitNS(ns)
	switch {
	case ns == oplogNS:
		return mongoerr.New(mongoerr.InvalidNamespace, "cannot write to %s", ns)
	case op.txn != nil && (db == "local" || db == "config" || db == "admin"):
		return mongoerr.New(mongoerr.OperationNotSupportedInTransaction,
			"Cannot run command against the '%s' database in a transaction.", db)
	}
	return nil
}

// exemptFromBlock reports whether op may write ns while user writes are blocked.
func (op *operation) exemptFromBlock(ns string) bool {
	db, _ := oplog.SplitNS(ns)
	fromCluster := op.req.Routed != nil && op.req.Routed.FromMigrate
	return op.req.Client.BypassWriteBlock || isInternalDB(db) || fromCluster
}

// isInternalDB reports whether db belongs to the server rather than to users.
func isInternalDB(db string) bool { return db == "admin" || db == "config" || db == "local" }

// meta is what the storage layer notes about a write: the migration mark and,
// for a retryable write, its session and statement.
func (op *operation) meta(stmtID int32) storage.Meta {
	m := storage.Meta{Now: op.node.now()}
	m.FromMigrate = op.req.Routed != nil && op.req.Routed.FromMigrate
	if op.session != nil && op.number != noNumber && op.txn == nil {
		m.Txn = oplog.TxnInfo{LSID: op.session.lsid, Number: op.number, StmtID: stmtID}
	}
	return m
}
