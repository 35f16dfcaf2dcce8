package render

// Apply is for tests: patches with mistakes come from nowhere else.
var Apply = apply
