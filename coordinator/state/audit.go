package state

import (
	"slices"
	"strings"
	"time"
)

// AuditEntry is one operator command that was carried out or refused, or one that
// the program gave itself.
type AuditEntry struct {
	At      time.Time `bson:"at"`
	Command string    `bson:"command"`
	From    string    `bson:"from"`            // the caller's address
	By      string    `bson:"by,omitempty"`    // the name of the caller's token
	With    string    `bson:"with,omitempty"`  // the fields of the command
	Kind    string    `bson:"kind,omitempty"`  // of the refusal; empty if it was carried out
	Text    string    `bson:"text,omitempty"`  // of the refusal
	Times   int       `bson:"times,omitempty"` // if the same was refused more than once in a row
	Last    time.Time `bson:"last,omitempty"`  // of these times
}

// What is kept of commands: a snapshot must stay far below 16 MiB.
const (
	auditKept  = 10_000  // entries; older ones are dropped
	auditFirst = 1000    // entries, before the first Asked: versions that do not know it keep so many
	auditBytes = 4 << 20 // of all entries

	nameKept = 64  // bytes of a name or an address
	textKept = 200 // bytes of the fields and the refusal of an entry
)

// size is about how many bytes an entry takes in a snapshot.
func (e *AuditEntry) size() int {
	const fixed = 120
	return fixed + len(e.Command) + len(e.From) + len(e.By) + len(e.With) + len(e.Kind) + len(e.Text)
}

// audit adds an entry. Copies of the state share Audit: what they see of it never
// changes, and they have no room behind it that what is added here could be in.
func (s *Sync) audit(e AuditEntry) {
	e.Command, e.From, e.By = shorten(e.Command, nameKept), shorten(e.From, nameKept), shorten(e.By, nameKept)
	e.With, e.Text = shorten(e.With, textKept), shorten(e.Text, textKept)
	if n := len(s.Audit); n > 0 && e.Kind != "" {
		// A script that asks every second would push everything else out.
		if again := s.Audit[n-1]; again.same(e) {
			again.Times, again.Last = max(again.Times, 1)+1, e.At
			s.Audit = append(slices.Clone(s.Audit[:n-1]), again)
			return
		}
	}
	all := append(s.Audit, e)
	kept := auditKept
	if !s.Asked {
		kept = auditFirst
	}
	first, total := len(all), 0
	for first > 0 && len(all)-first < kept && total+all[first-1].size() <= auditBytes {
		first--
		total += all[first].size()
	}
	s.Audit = all[first:]
}

// noted adds an entry for a command that the program gave itself, if it was
// carried out.
func (s *Sync) noted(err error, e AuditEntry) error {
	if err == nil {
		s.audit(e)
	}
	return err
}

// same reports whether two entries tell of the same refusal.
func (e AuditEntry) same(o AuditEntry) bool {
	e.At, e.Times, e.Last = o.At, o.Times, o.Last
	host := func(from string) string { return from[:strings.LastIndexByte(from, ':')+1] } // ports change
	if host(e.From) == host(o.From) && host(e.From) != "" {
		e.From = o.From
	}
	return e == o
}

// shorten cuts a text to a number of bytes.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const cut = "…"
	return strings.ToValidUTF8(s[:limit-len(cut)], "") + cut
}
