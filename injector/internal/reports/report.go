package reports

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Path is where agents post their reports.
const Path = "/report"

const (
	maxBody     = 1 << 10
	maxRevision = 1 << 53 // of whole numbers that every reader of JSON keeps
)

// report is what an agent says of its pod.
type report struct {
	Reason   reason  `json:"reason"`
	Revision int64   `json:"revision"` // of the files, 0 while there are none
	Age      float64 `json:"age"`      // seconds since the server last confirmed them
	Change   bool    `json:"change"`   // they are others than the application began with
}

// reason is how it is with the secrets of a pod, in one word.
type reason string

const (
	synced        reason = "Synced"
	staleFallback reason = "StaleFallback"
)

// sentences are all reasons, as people read them. They hold nothing that came
// from a pod.
var sentences = map[reason]string{
	synced:        "the secrets are in place",
	staleFallback: "the server did not answer: the secrets are those of the fallback Secret",
	"AuthFailed":  "the server refuses the credentials: renew them in the Secret of the annotation auth-secret",
	"Forbidden":   "the identity may not read the secrets: grant it",
	"NotFound":    "the project, the environment, a folder or a key is not there: look at the annotations",
	"Unreachable": "the server does not answer, or is overloaded",
	"BadTemplate": "a template cannot be rendered: the log of the agent has the place",
	"NoSpace":     "the secrets do not fit: give a larger size-limit",
	"BadConfig":   "the agent cannot do what the annotations ask for: its log has more",
	"Failed":      "the agent failed: its log has more",
}

// decode reads the report that is the body of a request.
func decode(w http.ResponseWriter, r *http.Request) (got report, err error) {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err = decoder.Decode(&got); err == nil {
		if _, err = decoder.Token(); err == nil {
			err = errors.New("something follows the object")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return got, &refusal{code: http.StatusRequestEntityTooLarge, result: malformed, text: fmt.Sprintf("a report is at most %d bytes", maxBody)}
	}
	if err != nil || sentences[got.Reason] == "" || got.Revision < 0 || got.Revision > maxRevision || got.Age < 0 {
		return got, &refusal{code: http.StatusBadRequest, result: malformed, text: `a report is {"reason": one of the agent's, "revision": a whole number, "age": seconds, "change": true or false}`}
	}
	return got, nil
}
