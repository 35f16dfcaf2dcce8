package serve_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanzoai/kms/internal/app/serve"
	"github.com/hanzoai/kms/internal/pki"
)

// newCertificate is a self-signed certificate of 127.0.0.1.
func newCertificate(t *testing.T, serial int64) tls.Certificate {
	t.Helper()
	pair, err := pki.SelfSigned(serial, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// files are where a server reads its pair.
type files struct{ cert, key string }

func newFiles(t *testing.T) files {
	dir := t.TempDir()
	return files{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
}

func (f files) write(t *testing.T, c tls.Certificate) {
	t.Helper()
	f.writeCert(t, c)
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, f.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

func (f files) writeCert(t *testing.T, c tls.Certificate) {
	t.Helper()
	replace(t, f.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
}

// replace puts a new file in place of the old, as renewals do.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// serial makes a handshake and gives the serial number of the certificate.
func serial(t *testing.T, addr string) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestTLSIsVersion13WithHTTP2(t *testing.T) {
	files := newFiles(t)
	certificate := newCertificate(t, 1)
	files.write(t, certificate)
	addr, _ := start(t, serve.Config{Handler: http.HandlerFunc(hello), CertFile: files.cert, KeyFile: files.key})

	resp, err := client(t, trusting(certificate)).Get("https://" + addr)
	if got := body(t, resp, err); got != "hello" || resp.ProtoMajor != 2 || resp.TLS.Version != tls.VersionTLS13 {
		t.Errorf("got %q over %s, TLS %x", got, resp.Proto, resp.TLS.Version)
	}
	old := trusting(certificate)
	old.MaxVersion = tls.VersionTLS12
	if conn, err := tls.Dial("tcp", addr, old); err == nil {
		conn.Close()
		t.Error("TLS 1.2 was accepted")
	} else if !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2 was refused for another reason: %v", err)
	}
	resp, err = client(t, nil).Get("http://" + addr)
	if body(t, resp, err); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP got %s, want 400", resp.Status)
	}
}

func TestARunningServerTakesUpANewCertificate(t *testing.T) {
	files := newFiles(t)
	files.write(t, newCertificate(t, 1))
	addr, _ := start(t, serve.Config{Handler: http.HandlerFunc(hello), CertFile: files.cert, KeyFile: files.key})
	if got := serial(t, addr); got != 1 {
		t.Fatalf("got certificate %d, want 1", got)
	}
	files.write(t, newCertificate(t, 2))
	for serial(t, addr) != 2 { // go test's own limit ends a server that never does
	}
}

func TestThePairFollowsItsFilesAtMostOnceASecond(t *testing.T) {
	first, second, third := newCertificate(t, 1), newCertificate(t, 2), newCertificate(t, 3)
	files := newFiles(t)
	files.write(t, first)
	steps := []struct {
		name   string
		change func()
		wait   time.Duration
		want   int64
		errors int // lines of the log, so far
	}{
		{"the first", func() {}, 0, 1, 0},
		{"a new pair is not looked at within the second", func() { files.write(t, second) }, 999 * time.Millisecond, 1, 0},
		{"and is taken up after it", func() {}, time.Millisecond, 2, 0},
		{"a certificate without its new key", func() { files.writeCert(t, third) }, time.Second, 2, 1},
		{"is logged once", func() {}, time.Second, 2, 1},
		{"a certificate that is none", func() { replace(t, files.cert, []byte("c4nary")) }, time.Second, 2, 2},
		{"files that are gone", func() { os.Remove(files.cert) }, time.Second, 2, 3},
		{"are logged once", func() {}, time.Second, 2, 3},
		{"the whole new pair", func() { files.write(t, third) }, time.Second, 3, 3},
		{"the same trouble again", func() { os.Remove(files.key) }, time.Second, 3, 4},
		{"and its end", func() { files.write(t, first) }, time.Second, 1, 4},
		{"and once more", func() { os.Remove(files.key) }, time.Second, 1, 5},
	}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		current, err := serve.OpenPair(files.cert, files.key, &log)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range steps {
			step.change()
			time.Sleep(step.wait)
			if got := current().Leaf.SerialNumber.Int64(); got != step.want {
				t.Errorf("%s: got certificate %d, want %d", step.name, got, step.want)
			}
			if got := strings.Count(log.String(), "level=ERROR"); got != step.errors {
				t.Errorf("%s: got %d errors, want %d in:\n%s", step.name, got, step.errors, &log)
			}
		}
		if strings.Contains(log.String(), "c4nary") {
			t.Errorf("a file's content is in the log:\n%s", &log)
		}
	})
}

func TestAPairInAMountedSecretFollowsItsSymlink(t *testing.T) {
	mount := t.TempDir()
	for name, certificate := range map[string]tls.Certificate{"one": newCertificate(t, 1), "two": newCertificate(t, 2)} {
		dir := filepath.Join(mount, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		files{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}.write(t, certificate)
	}
	swap := func(generation string) {
		link := filepath.Join(mount, "..data")
		os.Remove(link)
		if err := os.Symlink(generation, link); err != nil {
			t.Fatal(err)
		}
	}
	swap("one")
	synctest.Test(t, func(t *testing.T) {
		data := filepath.Join(mount, "..data")
		current, err := serve.OpenPair(filepath.Join(data, "tls.crt"), filepath.Join(data, "tls.key"), new(bytes.Buffer))
		if err != nil {
			t.Fatal(err)
		}
		for i, generation := range []string{"one", "two", "one"} {
			swap(generation)
			time.Sleep(time.Second)
			if got, want := current().Leaf.SerialNumber.Int64(), int64(i%2+1); got != want {
				t.Errorf("after the swap to %s: got certificate %d, want %d", generation, got, want)
			}
		}
	})
}
