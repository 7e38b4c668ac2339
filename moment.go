package shardferry

import "context"

// A Moment is a named point of the work between reading and acknowledging. A
// process may die at any of them; tests let it die at each.
type Moment string

// The moments of a worker.
const (
	WorkerBegins    Moment = "worker: earlier sessions are ended"
	WorkerAnnounced Moment = "worker: its sessions are recorded"
	StreamRead      Moment = "stream: a reply is read"
	StreamDecoded   Moment = "stream: events are decoded"
	StreamHanded    Moment = "stream: events are handed to lanes"
	StreamBuilt     Moment = "stream: a batch is built"
	StreamApplied   Moment = "stream: a batch is applied"
	StreamMoved     Moment = "stream: the frontier has moved"
	RepairRead      Moment = "repair: documents are read again"
	RepairDone      Moment = "repair: documents are put or deleted"
	WriteToBeSent   Moment = "write: a command is to be sent"
	WriteAnswered   Moment = "write: a command is answered"
	CopyOpened      Moment = "copy: a batch is registered"
	CopyRead        Moment = "copy: a batch is read"
	CopyLanded      Moment = "copy: a batch has landed"
	CopyRepaired    Moment = "copy: what was overtaken is repaired"
	CopyNoted       Moment = "copy: a task's progress is noted"
	CopyDone        Moment = "copy: a task is done"
	ReportToBeSent  Moment = "report: to be recorded"
	ReportRecorded  Moment = "report: recorded"
)

// WorkerMoments are those of a worker, in the order in which they come.
func WorkerMoments() []Moment {
	return []Moment{
		WorkerBegins, WorkerAnnounced,
		StreamRead, StreamDecoded, StreamHanded, StreamBuilt, StreamApplied, StreamMoved,
		RepairRead, RepairDone, WriteToBeSent, WriteAnswered,
		CopyOpened, CopyRead, CopyLanded, CopyRepaired, CopyNoted, CopyDone,
		ReportToBeSent, ReportRecorded,
	}
}

// Done is the moment after a step of a reconciler and before its record, Recorded
// the one after that.
func Done(reconciler, step string) Moment {
	return Moment(reconciler + ": " + step + " is done, to be recorded")
}

// Recorded is the moment after Done.
func Recorded(reconciler, step string) Moment {
	return Moment(reconciler + ": " + step + " is recorded")
}

type reachedKey struct{}

// WithReached lets f see every moment that work under the context reaches. It is
// for tests: without it a moment costs nothing but the look for it, and that is
// once for a batch, a command or a reply, never for an event.
func WithReached(ctx context.Context, f func(ctx context.Context, m Moment)) context.Context {
	return context.WithValue(ctx, reachedKey{}, f)
}

// Reached tells that work has come to a moment.
func Reached(ctx context.Context, m Moment) {
	if f, ok := ctx.Value(reachedKey{}).(func(context.Context, Moment)); ok {
		f(ctx, m)
	}
}
