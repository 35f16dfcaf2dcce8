package main

import (
	"context"
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"

	"github.com/hanzoai/kms/internal/debian"
)

//go:embed config
var configFiles embed.FS

// writeConfig renders the files of the folder config into the state.
func (c cluster) writeConfig() error {
	data := map[string]string{
		"State": c.state, "Programs": c.path("bin"), "Pause": pauseImage,
		"NodeName": nodeName, "NodeIP": nodeIP, "PodRange": podRange,
	}
	return fs.WalkDir(configFiles, "config", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.Mkdir(c.path(name), 0o700)
		}
		return c.renderConfig(name, data)
	})
}

func (c cluster) renderConfig(name string, data map[string]string) error {
	config, err := template.New(filepath.Base(name)).Option("missingkey=error").ParseFS(configFiles, name)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(c.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	return config.Execute(file, data)
}

// installNodeTools gets the programs that the node runs beside its own.
func installNodeTools(ctx context.Context) error {
	for _, program := range []struct{ name, fromPackage string }{
		{"ip", "iproute2"},
		{"nft", "nftables"}, // by which kube-proxy and portmap work
		{"nsenter", "util-linux"},
	} {
		if _, err := debian.Program(ctx, program.name, program.fromPackage); err != nil {
			return err
		}
	}
	return nil
}
