package httpapi

// What the fuzzers of the outside package reach.
var (
	DecodeJSON    = decodeJSON
	CanonicalPath = canonicalPath
	AppendString  = appendString
)
