package app

import "runtime/debug"

// Version is the release, set by the linker:
//
//	-ldflags "-X github.com/hanzoai/kms/internal/app.Version=v1.2.3"
var Version string

// VersionString is the release; in a build without one the first 12 digits of
// the commit, with "-dirty" if files were changed since; where the commit is
// unknown the module's version (go install ...@v1.2.3), else "dev".
func VersionString() string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(Version, info)
}

func versionOf(release string, info *debug.BuildInfo) string {
	if release != "" {
		return release
	}
	if info == nil {
		return "dev"
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision := settings["vcs.revision"]
	switch {
	case revision == "" && (info.Main.Version == "" || info.Main.Version == "(devel)"):
		return "dev"
	case revision == "":
		return info.Main.Version
	}
	revision = revision[:min(12, len(revision))]
	if settings["vcs.modified"] == "true" {
		revision += "-dirty"
	}
	return revision
}
