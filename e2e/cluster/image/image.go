// Package image packs files into an archive that containerd, and whatever else
// knows OCI images, loads: without a registry, a daemon or root.
//
// It holds nothing. The same files make the same archive, to the byte.
package image

// SPDX-License-Identifier: Apache-2.0

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"
)

// Image is an image of one layer, for the architecture of this machine.
type Image struct {
	Name       string // with its tag, such as localhost/app:1
	Entrypoint []string
	Files      []File
	Links      []Link
}

// File is a file of this machine and its place in the image.
type File struct{ Source, Path string }

// Link is a symbolic link in the image.
type Link struct{ Path, Target string }

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

// WriteFile makes the archive a file.
func (i Image) WriteFile(name string) error {
	var archive bytes.Buffer
	if err := i.Write(&archive); err != nil {
		return fmt.Errorf("pack the image %s: %w", i.Name, err)
	}
	return os.WriteFile(name, archive.Bytes(), 0o644)
}

// Write writes the archive.
func (i Image) Write(w io.Writer) error {
	layer, err := i.layer()
	if err != nil {
		return err
	}
	config, err := json.Marshal(i.config(layer))
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(object{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": describe(configType, config),
		"layers": []object{describe(layerType, layer)},
	})
	if err != nil {
		return err
	}
	index, err := json.Marshal(i.index(manifest))
	if err != nil {
		return err
	}
	return writeArchive(w, index, layer, config, manifest)
}

type object map[string]any

func (i Image) config(layer []byte) object {
	return object{
		"os": "linux", "architecture": runtime.GOARCH,
		"config": object{"Entrypoint": i.Entrypoint, "Env": []string{"PATH=/bin"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{digest(layer)}},
	}
}

func (i Image) index(manifest []byte) object {
	described := describe(manifestType, manifest)
	described["annotations"] = object{"io.containerd.image.name": i.Name, "org.opencontainers.image.ref.name": path.Base(i.Name)}
	return object{"schemaVersion": 2, "manifests": []object{described}}
}

func describe(mediaType string, blob []byte) object {
	return object{"mediaType": mediaType, "digest": digest(blob), "size": len(blob)}
}

func digest(blob []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(blob)) }

func writeArchive(w io.Writer, index []byte, blobs ...[]byte) error {
	archive := newTree(w)
	archive.file("oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	archive.file("index.json", 0o644, index)
	for _, blob := range blobs {
		archive.file("blobs/sha256/"+strings.TrimPrefix(digest(blob), "sha256:"), 0o644, blob)
	}
	return archive.close()
}

// layer is the file system, with a /tmp for everyone.
func (i Image) layer() ([]byte, error) {
	var layer bytes.Buffer
	root := newTree(&layer)
	root.folder("tmp", 0o1777)
	for _, file := range i.Files {
		content, err := os.ReadFile(file.Source)
		if err != nil {
			return nil, err
		}
		root.file(file.Path, 0o755, content)
	}
	for _, link := range i.Links {
		root.entry(tar.Header{Typeflag: tar.TypeSymlink, Name: link.Path, Linkname: link.Target, Mode: 0o777}, nil)
	}
	return layer.Bytes(), root.close()
}

// tree is a tar archive that has the folders of its files. It keeps the first
// error.
type tree struct {
	tar     *tar.Writer
	folders map[string]bool
	err     error
}

func newTree(w io.Writer) *tree {
	return &tree{tar: tar.NewWriter(w), folders: map[string]bool{".": true}}
}

func (t *tree) file(name string, mode int64, content []byte) {
	t.entry(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, content)
}

func (t *tree) folder(name string, mode int64) {
	if t.folders[name] {
		return
	}
	t.folders[name] = true
	t.entry(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
}

func (t *tree) entry(header tar.Header, content []byte) {
	header.Name = strings.TrimPrefix(header.Name, "/")
	t.folder(path.Dir(path.Clean(header.Name)), 0o755)
	if t.err == nil {
		t.err = t.tar.WriteHeader(&header)
	}
	if t.err == nil {
		_, t.err = t.tar.Write(content)
	}
}

func (t *tree) close() error {
	if t.err != nil {
		return t.err
	}
	return t.tar.Close()
}
