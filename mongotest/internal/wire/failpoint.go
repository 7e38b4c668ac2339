package wire

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func (c *conn) configureFailPoint(_ context.Context, req *command.Request) (*command.Response, error) {
	return c.srv.cfg.FailPoints.Configure(req)
}

func (c *conn) waitForFailPoint(ctx context.Context, req *command.Request) (*command.Response, error) {
	limit, _ := value.AsInt64(req.Body.Lookup("maxTimeMS"))
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(limit)*time.Millisecond,
			mongoerr.New(mongoerr.MaxTimeMSExpired, "operation exceeded time limit"))
		defer cancel()
	}
	return c.srv.cfg.FailPoints.Wait(ctx, req)
}

// injected returns what failCommand does to req before it runs, nil for
// nothing.
func (c *conn) injected(req *command.Request) *Fault {
	d, ok := c.srv.cfg.FailPoints.TakeBefore(req)
	if !ok {
		return nil
	}
	f := &Fault{DropRequest: d.Closes(), Delay: d.Block(), Error: d.Err()}
	switch {
	case f.Error == nil:
	case d.Labels() != nil:
		f.Error.Labels = d.Labels()
	default:
		if l, ok := c.srv.cfg.Handler.(command.Labeler); ok {
			f.Error = mongoerr.From(l.Label(req, f.Error))
		}
	}
	return f
}

// injectConcern adds the writeConcernError of failCommand to the answer of a
// command that has succeeded.
func (c *conn) injectConcern(req *command.Request, resp *command.Response) *command.Response {
	d, ok := c.srv.cfg.FailPoints.TakeConcern(req)
	if !ok {
		return resp
	}
	labels := d.Labels()
	if l, ok := c.srv.cfg.Handler.(command.Labeler); ok && len(labels) == 0 {
		code, _ := value.AsInt64(d.Concern().Lookup("code"))
		labels = l.ConcernLabels(req, mongoerr.Code(code))
	}
	with := *resp
	with.Body = withConcern(resp.Body, d.Concern(), labels)
	return &with
}

// withConcern returns body with a writeConcernError in place of its own, and
// with the labels of that.
func withConcern(body, concern bson.Raw, labels []string) bson.Raw {
	var pairs []any
	for name, v := range value.Elements(body) {
		if name != "writeConcernError" && name != "errorLabels" {
			pairs = append(pairs, name, v)
		}
	}
	pairs = append(pairs, "writeConcernError", concern)
	if len(labels) > 0 {
		pairs = append(pairs, "errorLabels", labels)
	}
	return value.D(pairs...)
}
