package update

import "go.mongodb.org/mongo-driver/v2/bson"

// Diff returns the $v:2 diff that leads from pre to post. It is not ok when
// the post image would be smaller in the oplog or when no diff can reproduce
// the order of its fields; then the whole document is to be logged.
func Diff(pre, post bson.Raw) (bson.Raw, bool) { return nil, false }

// DiffAnySize is Diff without the comparison of sizes: operator updates are
// logged as diffs however small the document is.
func DiffAnySize(pre, post bson.Raw) (bson.Raw, bool) { return nil, false }

// ApplyDiff applies a $v:2 diff document.
func ApplyDiff(pre, diff bson.Raw) (bson.Raw, error) { return pre, nil }

// DescribeDiff renders a $v:2 diff as a change event's updateDescription:
// {updatedFields, removedFields, truncatedArrays[, disambiguatedPaths]}.
func DescribeDiff(diff bson.Raw, disambiguated bool) bson.Raw { return nil }
