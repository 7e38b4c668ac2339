package mongotest

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A Partition keeps requests of some processes from others: From and To name them
// as Disturb's other types do, or are Clients. Without OneWay requests in the
// other direction do not get through either. A request fails at once, or with
// Silent waits until the partition is over, as on a network that loses packets.
//
// A primary that is cut off from a majority goes on taking writes until it steps
// down, which is a fifth of the election timeout after the others have elected
// another one. What only it has is rolled back when it comes back.
type Partition struct {
	From, To       string
	OneWay, Silent bool
}

func (Partition) kind() string { return "partition" }

func (d Partition) fields() bson.D {
	return bson.D{{"from", d.From}, {"to", d.To}, {"oneWay", d.OneWay}, {"silent", d.Silent}}
}

func (d Partition) begin(_ context.Context, c *Cluster) (func(context.Context) error, error) {
	return c.beginLink(d.From, d.To, d.OneWay, linkRule{cut: true, silent: d.Silent})
}

// A Delay lets requests of some processes to others take longer. Between members
// of a replica set it is the time by which one that fetches from the other, the
// primary, stays behind.
type Delay struct {
	From, To string
	OneWay   bool
	By       time.Duration
}

func (Delay) kind() string { return "delay" }

func (d Delay) fields() bson.D {
	return bson.D{{"from", d.From}, {"to", d.To}, {"oneWay", d.OneWay}, {"delayMS", d.By.Milliseconds()}}
}

func (d Delay) begin(_ context.Context, c *Cluster) (func(context.Context) error, error) {
	if d.By <= 0 {
		return nil, fmt.Errorf("delayMS: %v is no delay", d.By)
	}
	return c.beginLink(d.From, d.To, d.OneWay, linkRule{delay: d.By})
}

// A Drop loses requests of clients or routers with a probability; with Replies
// the answers, so that what was asked for is done. Who waits for it sees the
// connection break.
type Drop struct {
	From, To    string
	Probability float64
	Replies     bool
}

func (Drop) kind() string { return "drop" }

func (d Drop) fields() bson.D {
	return bson.D{{"from", d.From}, {"to", d.To}, {"probability", d.Probability}, {"replies", d.Replies}}
}

func (d Drop) begin(_ context.Context, c *Cluster) (func(context.Context) error, error) {
	if d.Probability <= 0 || d.Probability > 1 {
		return nil, fmt.Errorf("probability: %v is not above 0 and up to 1", d.Probability)
	}
	if from, err := c.membersNamed(d.From); err == nil && len(from) > 0 {
		return nil, fmt.Errorf("from: %s is no router and not %s: members make up for what is lost among them", d.From, Clients)
	}
	return c.beginLink(d.From, d.To, true, linkRule{odds: d.Probability, replies: d.Replies})
}

// beginLink makes a rule hold between the named processes.
func (c *Cluster) beginLink(from, to string, oneWay bool, r linkRule) (func(context.Context) error, error) {
	var err error
	if r.from, err = c.ends(from); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if r.to, err = c.ends(to); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	end, err := c.disturbLink(r, oneWay)
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { end(); return nil }, nil
}

// ends returns the ends of links that a name stands for.
func (c *Cluster) ends(name string) ([]string, error) {
	if name == Clients {
		return []string{Clients}, nil
	}
	return c.processes(name)
}
