// Package lint holds tests about the source itself: who imports whom, and how
// long files are.
package lint
