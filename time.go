package shardferry

import (
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// ClusterTime is MongoDB's logical clock: seconds since the epoch and an
// ordinal within the second. Times of different clusters are never compared.
type ClusterTime = bson.Timestamp

// Pred returns the last cluster time before t. The zero time has none and is
// returned as it is.
func Pred(t ClusterTime) ClusterTime {
	switch {
	case t.I > 0:
		return ClusterTime{T: t.T, I: t.I - 1}
	case t.T > 0:
		return ClusterTime{T: t.T - 1, I: math.MaxUint32}
	}
	return t
}

// Succ returns the first cluster time after t.
func Succ(t ClusterTime) ClusterTime {
	if t.I == math.MaxUint32 {
		return ClusterTime{T: t.T + 1}
	}
	return ClusterTime{T: t.T, I: t.I + 1}
}

// EarlierOf returns the smaller of two cluster times.
func EarlierOf(a, b ClusterTime) ClusterTime {
	if b.Before(a) {
		return b
	}
	return a
}

// LaterOf returns the larger of two cluster times.
func LaterOf(a, b ClusterTime) ClusterTime {
	if b.After(a) {
		return b
	}
	return a
}

// Lag returns how far applied is behind now, both times of one cluster, with
// the resolution of a cluster time: one second. It is never negative.
func Lag(now, applied ClusterTime) time.Duration {
	if !now.After(applied) {
		return 0
	}
	return time.Duration(now.T-applied.T) * time.Second
}
