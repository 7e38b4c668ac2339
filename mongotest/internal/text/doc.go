// Package text is the search in words behind $text: how text is cut into words,
// how these are reduced to their stems, and how well a document fits a search.
//
// It knows English and "none", a language without stems and stop words.
package text
