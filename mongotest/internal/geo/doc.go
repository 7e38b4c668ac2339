// Package geo holds the shapes of geospatial queries: their parsing from
// GeoJSON and legacy coordinates, and how they lie to each other.
//
// Shapes of GeoJSON lie on the unit sphere, with great circles as edges; those
// of $box, $center and $polygon in a plane. Two places closer than tolerance
// count as the same, so that borders belong to their shapes.
package geo
