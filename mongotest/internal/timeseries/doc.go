// Package timeseries is what a time-series collection makes of measurements:
// its options, the buckets that hold the measurements, and how key patterns,
// filters and updates on measurements become ones on buckets.
//
// A time-series collection NAME is a view on the collection
// system.buckets.NAME. Package storage keeps the two together, package mongod
// finds the bucket for each measurement; here are the rules, without storage.
//
// Buckets are of version 1: each field is a document of values by row number.
// Compressed buckets (versions 2 and 3) are not read.
package timeseries
