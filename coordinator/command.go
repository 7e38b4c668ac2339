package coordinator

import (
	"errors"
	"fmt"
	"reflect"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/coordinator/state"
)

// codes gives every command its byte in the raft log. A code is never used
// again for another command, or an old log would be read wrongly.
var codes = map[reflect.Type]byte{
	reflect.TypeFor[state.Start]():        1,
	reflect.TypeFor[state.Planned]():      2,
	reflect.TypeFor[state.Created]():      3,
	reflect.TypeFor[state.Assign]():       4,
	reflect.TypeFor[state.Sessions]():     5,
	reflect.TypeFor[state.Fenced]():       6,
	reflect.TypeFor[state.Report]():       7,
	reflect.TypeFor[state.RaiseBarrier](): 8,
	reflect.TypeFor[state.Resolve]():      9,
	reflect.TypeFor[state.IndexesBuilt](): 10,
	reflect.TypeFor[state.Commit]():       11,
	reflect.TypeFor[state.Advance]():      12,
	reflect.TypeFor[state.Finished]():     13,
	reflect.TypeFor[state.Committed]():    14,
	reflect.TypeFor[state.Abort]():        15,
	reflect.TypeFor[state.Aborted]():      16,
	reflect.TypeFor[state.Pause]():        17,
	reflect.TypeFor[state.Resume]():       18,
	reflect.TypeFor[state.TurnAround]():   19,
	reflect.TypeFor[state.Turned]():       20,
	reflect.TypeFor[state.Lost]():         21,
	reflect.TypeFor[state.Recopied]():     22,
	reflect.TypeFor[state.Recatalogued](): 23,
	reflect.TypeFor[state.Intruded]():     24,
	reflect.TypeFor[state.Known]():        25,
	reflect.TypeFor[state.Moving]():       26,
	reflect.TypeFor[state.Passed]():       27,
	reflect.TypeFor[state.Settled]():      28,
	reflect.TypeFor[state.Carrying]():     29,
	reflect.TypeFor[state.Carried]():      30,
	reflect.TypeFor[state.Take]():         31,
	reflect.TypeFor[state.Drain]():        32,
	reflect.TypeFor[state.Asked]():        34,
}

// kinds and forms are codes the other way round: by code, which command it is, and
// which fields this program knows of it.
var kinds, forms = readable()

func readable() (kinds [256]reflect.Type, forms [256]form) {
	for t, code := range codes {
		kinds[code], forms[code] = t, formOf(t)
	}
	return kinds, forms
}

// newestCode returns the highest code that this program knows.
func newestCode() byte {
	newest := byte(0)
	for _, code := range codes {
		newest = max(newest, code)
	}
	return newest
}

func encodeCommand(cmd state.Command) ([]byte, error) {
	code, ok := codes[reflect.TypeOf(cmd)]
	if !ok {
		return nil, fmt.Errorf("encode command: %T has no code", cmd)
	}
	doc, err := bson.Marshal(cmd)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", cmd, err)
	}
	return compress(append([]byte{code}, doc...))
}

// decodeCommand reads an entry. What was written by a newer program is ErrNewer,
// also where only a field is new: who ignored it would do something else than the
// others.
func decodeCommand(b []byte) (state.Command, error) {
	if len(b) == 0 {
		return nil, errors.New("decode command: empty log entry")
	}
	b, err := expand(b)
	if err != nil {
		return nil, err
	}
	t := kinds[b[0]]
	if t == nil {
		return nil, fmt.Errorf("command %d is not known, the last known one is %d: %w", b[0], newestCode(), ErrNewer)
	}
	if err := forms[b[0]].check(b[1:]); err != nil {
		return nil, fmt.Errorf("decode %v: %w", t, err)
	}
	cmd := reflect.New(t)
	if err = bson.Unmarshal(b[1:], cmd.Interface()); err != nil {
		return nil, fmt.Errorf("decode %v: %w", t, err)
	}
	c, ok := cmd.Elem().Interface().(state.Command)
	if !ok {
		return nil, fmt.Errorf("decode %v: not a command", t)
	}
	return c, nil
}
