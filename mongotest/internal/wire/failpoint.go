package wire

import (
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A failPoint is the server's failCommand: set by configureFailPoint, it makes
// the commands it names fail on every connection.
type failPoint struct {
	mu   sync.Mutex
	left int // times it still fires; negative is forever
	skip int // matching commands to let through first
	data failData
}

// failData is the data field of configureFailPoint for failCommand.
type failData struct {
	FailCommands    []string `bson:"failCommands"`
	AppName         string   `bson:"appName"`
	CloseConnection bool     `bson:"closeConnection"`
	ErrorCode       int32    `bson:"errorCode"`
	ErrorLabels     []string `bson:"errorLabels"`
	BlockConnection bool     `bson:"blockConnection"`
	BlockTimeMS     int64    `bson:"blockTimeMS"`
}

// take returns the fault of a command the fail point matches, and counts it.
func (p *failPoint) take(req *command.Request) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 || !p.data.matches(req) {
		return nil
	}
	if p.skip > 0 {
		p.skip--
		return nil
	}
	if p.left > 0 {
		p.left--
	}
	return p.data.fault()
}

func (d *failData) matches(req *command.Request) bool {
	if d.AppName != "" && d.AppName != req.Client.AppName {
		return false
	}
	return slices.Contains(d.FailCommands, req.Name)
}

func (d *failData) fault() *Fault {
	f := &Fault{DropRequest: d.CloseConnection}
	if d.BlockConnection {
		f.Delay = time.Duration(d.BlockTimeMS) * time.Millisecond
	}
	if d.ErrorCode != 0 {
		f.Error = mongoerr.New(mongoerr.Code(d.ErrorCode), "Failing command via 'failCommand' failpoint")
		f.Error.Labels = d.ErrorLabels
	}
	return f
}

// configureFailPoint sets failCommand. Other fail points do not exist here.
func (c *conn) configureFailPoint(req *command.Request) (*command.Response, error) {
	if req.DB != "admin" {
		return nil, mongoerr.New(mongoerr.Unauthorized, "configureFailPoint may only be run against the admin database.")
	}
	if name := req.Collection(); name != "failCommand" {
		return nil, mongoerr.New(mongoerr.BadValue, "the fail point '%s' does not exist; only failCommand does", name)
	}
	left, skip, err := failMode(req.Body.Lookup("mode"))
	if err != nil {
		return nil, err
	}
	var data failData
	if doc, ok := req.Body.Lookup("data").DocumentOK(); ok {
		if _, err := doc.LookupErr("writeConcernError"); err == nil {
			return nil, mongoerr.New(mongoerr.BadValue, "failCommand cannot add a writeConcernError here")
		}
		if err := bson.Unmarshal(doc, &data); err != nil {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "failCommand: data: %v", err)
		}
	}
	c.srv.failCommand.set(left, skip, data)
	return &command.Response{}, nil
}

func (p *failPoint) set(left, skip int, data failData) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.skip, p.data = left, skip, data
}

// failMode reads "off", "alwaysOn", {times: n} or {skip: n}.
func failMode(mode bson.RawValue) (left, skip int, err error) {
	if s, ok := mode.StringValueOK(); ok {
		switch s {
		case "off":
			return 0, 0, nil
		case "alwaysOn":
			return -1, 0, nil
		}
	}
	if doc, ok := mode.DocumentOK(); ok {
		if n, ok := doc.Lookup("times").AsInt64OK(); ok && n >= 0 {
			return int(n), 0, nil
		}
		if n, ok := doc.Lookup("skip").AsInt64OK(); ok && n >= 0 {
			return -1, int(n), nil
		}
	}
	return 0, 0, mongoerr.New(mongoerr.BadValue, "fail point mode must be 'off', 'alwaysOn', {times: n} or {skip: n}")
}
