package aggregate

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// The limits of what expressions may make.
const (
	maxString   = 16 << 20           // of bytes in a string, itself too many
	maxDocument = 16<<20 + 16<<10    // what a stage may pass on
	maxOperands = 2 * rawdoc.MaxSize // what the operands of one operator may take
)

// limited refuses results that are too large. A rawdoc.Builder stops growing
// beyond its limit, so no operator can take much more before it is asked.
func limited(name string, fn evalFunc) evalFunc {
	return func(c evalCtx) (bson.RawValue, error) {
		v, err := fn(c)
		if err == nil && len(v.Value) >= maxString {
			err = checkSize(name, v)
		}
		return v, err
	}
}

func checkSize(name string, v bson.RawValue) error {
	switch {
	case v.Type == bson.TypeString && len(v.Value)-5 >= maxString:
		return errStringTooLong(name)
	case len(v.Value) > rawdoc.MaxSize:
		return mongoerr.New(mongoerr.ExceededMemoryLimit, "%s would use too much memory and cannot spill to disk. Memory limit: %d bytes", name, rawdoc.MaxSize)
	}
	return nil
}

func errStringTooLong(name string) error {
	return mongoerr.New(16493, "%s would make a string longer than %d bytes", name, maxString-1)
}

func checkDocument(doc bson.Raw) error {
	if len(doc) > maxDocument {
		return mongoerr.New(mongoerr.BSONObjectTooLarge, "BSONObj size: %d (0x%X) is invalid. Size must be between 0 and %d(16MB)", len(doc), len(doc), maxDocument)
	}
	return nil
}
