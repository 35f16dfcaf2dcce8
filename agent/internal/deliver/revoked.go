package deliver

import (
	"errors"

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
	if err != nil {
		a.log.Error("files not deleted after the access was revoked", "reason", string(ReasonOf(err)), "err", err)
	}
}
