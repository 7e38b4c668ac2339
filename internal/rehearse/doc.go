// Package rehearse moves simulated clusters under load and checks the outcome
// by its own means: what the demo and the benchmarks do, and what chaos builds
// upon. It uses the product only from outside, as an operator and an
// application would.
package rehearse
