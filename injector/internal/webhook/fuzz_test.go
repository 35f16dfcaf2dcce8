package webhook_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hanzoai/kms/injector/internal/webhook"
)

// Whatever comes by HTTP: a review with an answer, or a refusal of the request.
func FuzzReviews(f *testing.F) {
	f.Add(about(pod))
	f.Add(about(with("template-x", "{{")))
	f.Add(about("null"))
	f.Add(strings.Replace(about(pod), `"CREATE"`, `"UPDATE"`, 1))
	f.Add(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"\ud800"}}`)
	f.Fuzz(func(t *testing.T, body string) {
		h := newHandler(webhook.Lookup{})
		w := h.post(body)
		if strings.Contains(h.log.String(), "panicked") {
			t.Fatal(h.log)
		}
		switch {
		case w.Code == http.StatusOK:
			if got := response(t, w.Body.Bytes()); got.UID == "" || got.Allowed == (got.Result != nil) {
				t.Errorf("%+v", got)
			}
		case w.Code < 400 || w.Code >= 500:
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
