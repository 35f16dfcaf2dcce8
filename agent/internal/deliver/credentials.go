package deliver

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
)

const maxCredential = 4 << 10 // bytes of one credential file

// Credentials reads client id and client secret from their files each time it
// is called, for the login of a client.
func Credentials(c config.Credentials) func(context.Context) (id, secret string, err error) {
	return func(context.Context) (id, secret string, err error) {
		// A mounted volume is exchanged while we read it: its old files may
		// vanish under us. A second look then finds the new ones.
		for range 3 {
			if id, secret, err = readPair(c); err == nil {
				return id, secret, nil
			}
		}
		return "", "", err
	}
}

// readPair reads both files. Where they lie in a volume of Kubernetes, which
// is exchanged by a swap of its ..data link, the link is followed once for
// both: an id and a secret of two generations would not go together.
func readPair(c config.Credentials) (id, secret string, err error) {
	volumes := map[string]string{}
	if id, err = readCredential("clientIdFile", generationFile(volumes, c.ClientIDFile)); err != nil {
		return "", "", err
	}
	secret, err = readCredential("clientSecretFile", generationFile(volumes, c.ClientSecretFile))
	return id, secret, err
}

// generationFile is the file in the generation that its volume has now, or,
// where it is no file of a volume, the file itself. volumes remembers the
// generation of each directory.
func generationFile(volumes map[string]string, name string) string {
	dir, base := filepath.Split(name)
	if target, _ := os.Readlink(name); target != dataLink+"/"+base {
		return name
	}
	if volumes[dir] == "" {
		volumes[dir], _ = os.Readlink(dir + dataLink)
	}
	if filepath.IsAbs(volumes[dir]) {
		return filepath.Join(volumes[dir], base)
	}
	return filepath.Join(dir, volumes[dir], base)
}

func readCredential(what, name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", api.Errorf(api.ErrUnauthenticated, "read %s: %w", what, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxCredential+1))
	defer clear(data)
	text := strings.TrimSpace(string(data))
	switch {
	case err != nil:
		return "", api.Errorf(api.ErrUnauthenticated, "read %s: %w", what, err)
	case len(data) > maxCredential:
		return "", api.Errorf(api.ErrUnauthenticated, "read %s: %s has more than %d bytes", what, name, maxCredential)
	case text == "":
		return "", api.Errorf(api.ErrUnauthenticated, "read %s: %s is empty", what, name)
	}
	return text, nil
}

func (a *Agent) watchCredentials(ctx context.Context, parts *sync.WaitGroup) (rotated <-chan struct{}) {
	return watchFiles(ctx, parts, a.log, watchDoubt, a.config.Credentials.ClientIDFile, a.config.Credentials.ClientSecretFile)
}

// logInAnew takes up new credentials. The token before stays in use until they
// are accepted.
func (a *Agent) logInAnew(ctx context.Context) {
	if err := a.inTime(ctx, a.client.Relogin); err != nil {
		a.log.Warn("new credentials are not accepted, the session before stays in use", "reason", string(ReasonOf(err)), "err", err)
		return
	}
	a.log.Info("logged in with new credentials")
}

// logOut ends the access token at the server if that is asked for. The agent
// may be about to be killed, so it does not wait long.
func (a *Agent) logOut() {
	if !a.config.Credentials.RevokeOnExit {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), logOutTimeout)
	defer cancel()
	err := a.client.Revoke(ctx)
	switch {
	case errors.Is(err, api.ErrUnauthenticated): // there is none, or none any more
	case err != nil:
		a.log.Warn("access token not revoked", "reason", string(ReasonOf(err)), "err", err)
	}
}

const logOutTimeout = 3 * time.Second
