package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
)

// maxBody is more than an API server takes of anybody: 3 MB for an object, of
// which an update sends two.
const maxBody = 10 << 20

// refusal is a request that is no review.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return r.text }

func readReview(w http.ResponseWriter, r *http.Request) (*admissionv1.AdmissionRequest, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, &refusal{http.StatusMethodNotAllowed, "an AdmissionReview is sent with POST"}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &refusal{http.StatusUnsupportedMediaType, "the content type must be application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return nil, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the review is larger than %d bytes", tooLarge.Limit)}
	}
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "the body ended before its end"}
	}
	return decode(body)
}

func decode(body []byte) (*admissionv1.AdmissionRequest, error) {
	var review admissionv1.AdmissionReview
	switch err := json.Unmarshal(body, &review); {
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, "the body is no AdmissionReview"}
	case review.APIVersion != admissionv1.SchemeGroupVersion.String() || review.Kind != "AdmissionReview":
		return nil, &refusal{http.StatusBadRequest, "the body must be an AdmissionReview of admission.k8s.io/v1"}
	case review.Request == nil || review.Request.UID == "":
		return nil, &refusal{http.StatusBadRequest, "the AdmissionReview has no request with a uid"}
	}
	return review.Request, nil
}

func writeReview(w http.ResponseWriter, response *admissionv1.AdmissionResponse) {
	review := admissionv1.AdmissionReview{Response: response}
	review.APIVersion, review.Kind = admissionv1.SchemeGroupVersion.String(), "AdmissionReview"
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review) // a caller that is gone asks again
}
