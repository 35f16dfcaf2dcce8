package app

// VersionOf is for tests: the build information of a test binary has no commit.
var VersionOf = versionOf
