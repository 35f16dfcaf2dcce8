package reports_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const inPlace = `{"reason":"Synced","revision":1,"age":0.5,"change":false}`

func TestOnlyTheTokenOfAPodThatIsThereIsTaken(t *testing.T) {
	c := newCluster(t)
	s := newServer(t, c.injector)
	pod, former := c.pod(), c.pod()
	formerToken := c.token(former, audience)
	c.remove(former)
	good := c.token(pod, audience)
	for _, test := range []struct {
		name, token string
		want        int
	}{
		{"the token of its volume", good, http.StatusNoContent},
		{"for several audiences", c.token(pod, "vault", audience), http.StatusNoContent},
		{"none", "", http.StatusUnauthorized},
		{"garbage", "garbage", http.StatusUnauthorized},
		{"garbage in three parts", "a.b.c", http.StatusUnauthorized},
		{"one that claims everything", forged("1"), http.StatusUnauthorized},
		{"with another end", good[:len(good)-6] + "AAAAAA", http.StatusUnauthorized},
		{"for an API server", c.token(pod), http.StatusUnauthorized},
		{"for somebody else", c.token(pod, "vault"), http.StatusUnauthorized},
		{"of an account without a pod", c.token(nil, audience), http.StatusForbidden},
		{"of a pod that is gone", formerToken, http.StatusUnauthorized},
	} {
		if w := s.send(test.token, inPlace); w.Code != test.want {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
	}
	if got := c.condition(pod); got.Status != corev1.ConditionTrue {
		t.Errorf("%+v %s", got, s.log)
	}
}

// forged is a token that nobody has signed.
func forged(more string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"none"}`)) + "." + part(fmt.Appendf(nil, `{"aud":[%q],"exp":32503680000}`, audience)) + "." + part([]byte(more))
}

func TestAPodThatHasTheNameOfAnotherIsNotTouched(t *testing.T) {
	c := newCluster(t)
	named := func(p *corev1.Pod) { p.Name = "web-0" }
	first := c.pod(named)
	token := c.token(first, audience)
	s := newServer(t, c.injector)
	s.must(token, inPlace)
	c.remove(first)
	if w := s.send(token, `{"reason":"Forbidden"}`); w.Code != http.StatusGone {
		t.Errorf("no pod: %d %s", w.Code, w.Body)
	}
	second := c.pod(named)
	c.patchStatus(c.admin, second, `{"status":{"conditions":[{"type":"kms.hanzo.ai/SecretsReady","status":"False","reason":"Forbidden","message":"the identity may not read the secrets: grant it"}]}}`)
	if w := s.send(token, `{"reason":"Forbidden"}`); w.Code != http.StatusGone {
		t.Errorf("another pod that says the same already: %d %s", w.Code, w.Body)
	}
	// It is replaced between the look at it and the patch.
	third := second
	racing := interceptor.NewClient(c.injector, interceptor.Funcs{
		Get: func(ctx context.Context, next client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
			err := next.Get(ctx, key, into, opts...)
			c.remove(second)
			third = c.pod(named)
			return err
		}})
	s = newServer(t, racing)
	if w := s.send(c.token(second, audience), inPlace); w.Code != http.StatusGone {
		t.Errorf("another pod meanwhile: %d %s %s", w.Code, w.Body, s.log)
	}
	if got := c.condition(third); got.Type != "" {
		t.Errorf("another pod has %+v", got)
	}
}

// vouching answers reviews as an API server does, and counts them.
func vouching(asked *int, status authenticationv1.TokenReviewStatus, err error) client.Client {
	return interceptor.NewClient(nil, interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, object client.Object, _ ...client.CreateOption) error {
			*asked++
			object.(*authenticationv1.TokenReview).Status = status
			return err
		},
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "web")
		},
	})
}

var vouched = authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: []string{audience}, User: authenticationv1.UserInfo{
	Username: "system:serviceaccount:shop:web", Extra: map[string]authenticationv1.ExtraValue{
		"authentication.kubernetes.io/pod-name": {"web"}, "authentication.kubernetes.io/pod-uid": {"1"}}}}

func TestAnAnswerAboutATokenHoldsForAShortWhile(t *testing.T) {
	for _, test := range []struct {
		name     string
		status   authenticationv1.TokenReviewStatus
		err      error
		lasts    time.Duration
		wantCode int
	}{
		{"a good token", vouched, nil, 2 * time.Minute, http.StatusGone},
		{"a bad token", authenticationv1.TokenReviewStatus{}, nil, 10 * time.Second, http.StatusUnauthorized},
		{"no answer", vouched, errors.New("away"), 0, http.StatusServiceUnavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			s := newServer(t, vouching(&asked, test.status, test.err))
			for _, step := range []struct {
				wait time.Duration
				want int
			}{{0, 1}, {test.lasts - time.Nanosecond, 1}, {time.Nanosecond, 2}} {
				time.Sleep(step.wait)
				if w := s.send(forged("1"), inPlace); w.Code != test.wantCode {
					t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
				}
				if test.lasts > 0 && asked != step.want {
					t.Errorf("%s: asked %d times after %s, want %d", test.name, asked, step.wait, step.want)
				}
			}
		})
	}
}

func TestAnAnswerThatLacksSomethingIsARefusal(t *testing.T) {
	for name, change := range map[string]func(*authenticationv1.TokenReviewStatus){
		"nobody":           func(s *authenticationv1.TokenReviewStatus) { s.Authenticated = false },
		"no audiences":     func(s *authenticationv1.TokenReviewStatus) { s.Audiences = nil },
		"another audience": func(s *authenticationv1.TokenReviewStatus) { s.Audiences = []string{"vault"} },
		"a person":         func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "jane" },
		"a node":           func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:node:a" },
		"no account":       func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount:shop" },
		"no pod":           func(s *authenticationv1.TokenReviewStatus) { s.User.Extra = nil },
		"a pod of several names": func(s *authenticationv1.TokenReviewStatus) {
			s.User.Extra["authentication.kubernetes.io/pod-name"] = []string{"a", "b"}
		},
	} {
		status, asked := *vouched.DeepCopy(), 0
		change(&status)
		s := newServer(t, vouching(&asked, status, nil))
		if w := s.send(forged("1"), inPlace); w.Code != http.StatusUnauthorized && w.Code != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestWithoutAnAPIServerAReportIsToComeAgain(t *testing.T) {
	c := newCluster(t)
	token := c.token(c.pod(), audience)
	lost := newClient(t, &rest.Config{Host: "https://127.0.0.1:1"})
	if w := newServer(t, lost).send(token, inPlace); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	// It is lost after it knew the token.
	s := newServer(t, interceptor.NewClient(c.injector, interceptor.Funcs{
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
			return lost.Get(ctx, key, into)
		}}))
	if w := s.send(token, inPlace); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
