package deliver

import (
	"errors"
	"fmt"
	"os"

	"github.com/hanzoai/kms/api"
)

// refused does what is to be done once the server has said twice in a row that
// the identity may not read the set. Once may be a slip.
func (a *Agent) refused(err error) (end error) {
	if !isRefusal(err) {
		a.refusals = 0
		return nil
	}
	a.refusals++
	if a.refusals < 2 {
		return nil
	}
	switch a.config.OnRevoked {
	case "exit":
		return err
	case "delete":
		a.deleteFiles()
	}
	return nil
}

// isRefusal tells a refusal by the server from a fault on this side, such as a
// file of credentials that is empty for a moment.
func isRefusal(err error) bool {
	var answer *api.Error
	if errors.As(err, &answer) {
		return fromServer(answer) && (errors.Is(err, api.ErrDenied) || errors.Is(err, api.ErrUnauthenticated))
	}
	return errors.Is(err, api.ErrDenied)
}

// fromServer tells an answer of the server from one of a proxy or an ingress
// in between: a page of theirs must not delete files, nor make a key missing.
func fromServer(answer *api.Error) bool { return answer.Name != "" }

// deleteFiles leaves an empty generation. The next one that has access again
// is read and written in full.
func (a *Agent) deleteFiles() {
	if len(a.outputs) == 0 {
		return
	}
	a.known = state{}
	written, err := Write(a.dir, nil)
	if written.Changed {
		a.log.Warn("files deleted: the access was revoked", "generation", written.Generation)
		a.dir.Last = written.Generation
		a.status.wrote(written, nil)
		a.onChange()
	}
	if err == nil {
		err = a.dir.deleteBefore(written.Generation)
	}
	if err != nil {
		a.log.Error("files not deleted after the access was revoked", "reason", string(ReasonOf(err)), "err", err)
	}
}

// deleteBefore removes the generation before the current one, which otherwise
// stays for readers that are still in it.
func (d Dir) deleteBefore(current string) error {
	root, err := os.OpenRoot(d.Path)
	if err != nil {
		return fmt.Errorf("open the directory: %w", err)
	}
	defer root.Close()
	if err := d.linkPrevious(root, ""); err != nil {
		return err
	}
	all, err := names(root, ".")
	if err != nil {
		return err
	}
	for _, name := range all {
		if number(name) == 0 || name == current {
			continue
		}
		if err := root.RemoveAll(name); err != nil {
			return fmt.Errorf("remove the generation before: %w", err)
		}
		d.did("remove " + name)
	}
	return nil
}
