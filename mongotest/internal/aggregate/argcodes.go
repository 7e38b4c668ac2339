package aggregate

import (
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// argCodes are the error codes of an operator or stage that takes an object:
// what it says to anything else, to a member it does not know, and to members
// that lack.
type argCodes struct {
	notObject, unknown mongoerr.Code
	missing            map[string]mongoerr.Code
}

// codesOf returns the codes of an operator; most stages, and operators not
// listed, say FailedToParse.
func codesOf(name string) argCodes {
	for _, table := range []map[string]argCodes{controlCodes, stringCodes, dateCodes, groupCodes, stageCodes} {
		if c, ok := table[name]; ok {
			return c
		}
	}
	return argCodes{notObject: mongoerr.FailedToParse, unknown: mongoerr.FailedToParse}
}

func (c argCodes) missingCode(field string) mongoerr.Code {
	if code, ok := c.missing[field]; ok {
		return code
	}
	return mongoerr.FailedToParse
}

type missing = map[string]mongoerr.Code

var controlCodes = map[string]argCodes{
	"$let":           {16874, 16875, missing{"vars": 16876, "in": 16877}},
	"$map":           {16878, 16879, missing{"input": 16880, "in": 16882}},
	"$filter":        {28646, 28647, missing{"input": 28648, "cond": 28650}},
	"$cond":          {17080, 17083, missing{"if": 17080, "then": 17081, "else": 17082}},
	"$switch":        {40060, 40067, missing{"branches": 40068}},
	"$switch branch": {40062, 40063, missing{"case": 40064, "then": 40065}},
	"$reduce":        {40075, 40076, missing{"input": 40077, "initialValue": 40078, "in": 40079}},
	"$sortArray":     {2942500, 2942501, missing{"input": 2942502, "sortBy": 2942503}},
	"$getField":      {3041704, 3041701, missing{"field": 3041702, "input": 3041703}},
	"$setField":      {4161100, 4161101, missing{"field": 4161102, "value": 4161103, "input": 4161109}},
	"$unsetField":    {4161100, 4161101, missing{"field": 4161102, "input": 4161109}},
	"$zip":           {34460, 34464, missing{"inputs": 34465}},
}

var stringCodes = map[string]argCodes{
	"$trim":         {50696, 50694, missing{"input": 50695}},
	"$ltrim":        {50696, 50694, missing{"input": 50695}},
	"$rtrim":        {50696, 50694, missing{"input": 50695}},
	"$replaceOne":   {51751, 51750, missing{"input": 51749, "find": 51748, "replacement": 51747}},
	"$replaceAll":   {51751, 51750, missing{"input": 51749, "find": 51748, "replacement": 51747}},
	"$regexMatch":   {51103, 31024, missing{"input": 31022, "regex": 31023}},
	"$regexFind":    {51103, 31024, missing{"input": 31022, "regex": 31023}},
	"$regexFindAll": {51103, 31024, missing{"input": 31022, "regex": 31023}},
}

var dateCodes = map[string]argCodes{
	"$dateToString":   {18629, 18534, missing{"date": 18628}},
	"$dateFromString": {40540, 40541, missing{"dateString": 40542}},
	"$dateFromParts":  {40519, 40518, missing{"year": 40516}},
	"$dateToParts":    {40524, 40520, missing{"date": 40522}},
	"$dateAdd":        {5166400, 5166401, missing{"startDate": 5166402, "unit": 5166402, "amount": 5166402}},
	"$dateSubtract":   {5166400, 5166401, missing{"startDate": 5166402, "unit": 5166402, "amount": 5166402}},
	"$dateDiff":       {5166301, 5166302, missing{"startDate": 5166303, "endDate": 5166304, "unit": 5166305}},
	"$dateTrunc":      {5439007, 5439008, missing{"date": 5439009, "unit": 5439010}},
}

var groupCodes = map[string]argCodes{
	"$firstN":       {5787900, 5787901, missing{"n": 5787906, "input": 5787907}},
	"$lastN":        {5787900, 5787901, missing{"n": 5787906, "input": 5787907}},
	"$minN":         {5787900, 5787901, missing{"n": 5787906, "input": 5787907}},
	"$maxN":         {5787900, 5787901, missing{"n": 5787906, "input": 5787907}},
	"$top":          {5788001, 5788002, missing{"sortBy": 5788005, "output": 5788004}},
	"$bottom":       {5788001, 5788002, missing{"sortBy": 5788005, "output": 5788004}},
	"$topN":         {5788001, 5788002, missing{"n": 5788003, "sortBy": 5788005, "output": 5788004}},
	"$bottomN":      {5788001, 5788002, missing{"n": 5788003, "sortBy": 5788005, "output": 5788004}},
	"$percentile":   {7429703, mongoerr.IDLUnknownField, missing{"input": mongoerr.IDLFailedToParse, "p": mongoerr.IDLFailedToParse, "method": mongoerr.IDLFailedToParse}},
	"$median":       {7436100, mongoerr.IDLUnknownField, missing{"input": mongoerr.IDLFailedToParse, "method": mongoerr.IDLFailedToParse}},
	"$minMaxScaler": {mongoerr.FailedToParse, mongoerr.FailedToParse, nil},
}

var stageCodes = map[string]argCodes{
	"$sample":          {28745, 28748, missing{"size": 28749}},
	"$bucket":          {40201, 40197, missing{"groupBy": 40198, "boundaries": 40198}},
	"$bucketAuto":      {40240, 40245, missing{"groupBy": 40246, "buckets": 40246}},
	"$graphLookup":     {40327, 40104, missing{"from": 40105, "startWith": 40105, "connectFromField": 40105, "connectToField": 40105, "as": 40105}},
	"$replaceRoot":     {40229, mongoerr.IDLUnknownField, missing{"newRoot": mongoerr.IDLFailedToParse}},
	"$setWindowFields": {mongoerr.FailedToParse, mongoerr.IDLUnknownField, missing{"output": mongoerr.IDLFailedToParse}},
	"$densify":         {5733401, mongoerr.IDLUnknownField, missing{"field": mongoerr.IDLFailedToParse, "range": mongoerr.IDLFailedToParse}},
	"$fill":            {mongoerr.TypeMismatch, mongoerr.IDLUnknownField, missing{"output": mongoerr.IDLFailedToParse}},
	"$unionWith":       {mongoerr.FailedToParse, mongoerr.IDLUnknownField, nil},
}
