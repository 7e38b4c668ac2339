// Package linear judges histories of the control plane: what clients asked of which
// node, when, and what they were answered. A history is right if one machine that
// does one thing after another, each between its call and its answer, could have
// answered the same.
//
// That machine is a small model of what clients can see. It shares no code with the
// product, so that both cannot be wrong in the same way. The search is porcupine's.
package linear
