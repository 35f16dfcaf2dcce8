package secrets

// What the tests of the outside package reach.
var ParseReferences = parseReferences
