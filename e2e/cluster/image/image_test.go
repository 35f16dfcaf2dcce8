package image_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/e2e/cluster/image"
)

// The test goes the way of a runtime: from the index by digests to the files.
func TestAnArchiveLeadsByDigestsFromItsNameToItsFiles(t *testing.T) {
	archive := unpack(t, pack(t, sample(t)))
	index := decode(t, archive["index.json"])
	if len(index.Manifests) != 1 {
		t.Fatalf("the index has %d manifests, want 1", len(index.Manifests))
	}
	if got := index.Manifests[0].Annotations["io.containerd.image.name"]; got != "localhost/app:1" {
		t.Errorf("name = %q, want localhost/app:1", got)
	}
	manifest := decode(t, blob(t, archive, index.Manifests[0]))
	config := decode(t, blob(t, archive, manifest.Config.descriptor))
	if diff := cmp.Diff([]string{"/app"}, config.Config.Entrypoint); diff != "" {
		t.Errorf("entrypoint (-want +got):\n%s", diff)
	}
	if got := config.Root.Layers; len(got) != 1 || got[0] != manifest.Layers[0].Digest {
		t.Errorf("the configuration names the layers %v, want %s", got, manifest.Layers[0].Digest)
	}
	want := map[string]string{"tmp/": "", "app": "#!program\n", "bin/": "", "bin/sh": "-> /app"}
	if diff := cmp.Diff(want, unpack(t, []byte(blob(t, archive, manifest.Layers[0])))); diff != "" {
		t.Errorf("files of the layer (-want +got):\n%s", diff)
	}
}

func TestTheSameFilesMakeTheSameArchive(t *testing.T) {
	i := sample(t)
	if !bytes.Equal(pack(t, i), pack(t, i)) {
		t.Error("two archives of one image differ")
	}
}

func TestAFileThatIsNotThereMakesNoArchive(t *testing.T) {
	i := image.Image{Name: "localhost/app:1", Files: []image.File{{Source: filepath.Join(t.TempDir(), "gone"), Path: "/app"}}}
	name := filepath.Join(t.TempDir(), "app.tar")
	if err := i.WriteFile(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error = %v, want that the file does not exist", err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("an archive was left behind")
	}
}

func sample(t *testing.T) image.Image {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!program\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return image.Image{
		Name: "localhost/app:1", Entrypoint: []string{"/app"},
		Files: []image.File{{Source: program, Path: "/app"}},
		Links: []image.Link{{Path: "/bin/sh", Target: "/app"}},
	}
}

func pack(t *testing.T, i image.Image) []byte {
	t.Helper()
	var archive bytes.Buffer
	if err := i.Write(&archive); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

// unpack is the content of each entry, and where a link leads.
func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	entries := map[string]string{}
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		entries[header.Name] = string(content)
		if header.Linkname != "" {
			entries[header.Name] = "-> " + header.Linkname
		}
	}
}

type descriptor struct {
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations"`
}

// document is an index, a manifest or a configuration. The "config" of a
// manifest leads to a blob, that of a configuration is what to run.
type document struct {
	Manifests []descriptor `json:"manifests"`
	Layers    []descriptor `json:"layers"`
	Config    struct {
		descriptor
		Entrypoint []string
	} `json:"config"`
	Root struct {
		Layers []string `json:"diff_ids"`
	} `json:"rootfs"`
}

func decode(t *testing.T, text string) (d document) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return d
}

func blob(t *testing.T, archive map[string]string, d descriptor) string {
	t.Helper()
	content := archive["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))); got != d.Digest {
		t.Fatalf("the blob %s has the digest %s", d.Digest, got)
	}
	return content
}
