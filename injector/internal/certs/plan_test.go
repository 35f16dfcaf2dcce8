package certs_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/injector/internal/certs"
	"github.com/hanzoai/kms/internal/pki"
)

const day = 24 * time.Hour

var (
	start    = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	webhooks = certs.Leaf{Name: "webhooks", DNSName: "kms-injector.kms.svc", Webhooks: true}
	reports  = certs.Leaf{Name: "reports", DNSName: "kms-injector-reports.kms.svc"}
	both     = []certs.Leaf{webhooks, reports}
)

// secret is data of a Secret in the making.
type secret map[string][]byte

// next is the Secret after the leader was there.
func (s secret) next(t testing.TB, leaves []certs.Leaf, now time.Time) secret {
	t.Helper()
	_, changed, _, err := certs.Plan(leaves, s, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if changed == nil {
		return s
	}
	return changed
}

func (s secret) with(key string, value []byte) secret {
	changed := maps.Clone(s)
	changed[key] = value
	return changed
}

func TestTheLeaderMendsWhatTheSecretLacksAndNothingElse(t *testing.T) {
	fresh := secret(nil).next(t, both, start)
	other := secret(nil).next(t, both, start)
	future := secret(nil).next(t, both, start.Add(10*day))
	lateLeaves := fresh.with("webhooks.crt", nil).with("reports.crt", nil).next(t, both, start.Add(10*day))
	elsewhere := secret(nil).next(t, []certs.Leaf{{Name: "webhooks", DNSName: "old.kms.svc"}, reports}, start)
	foreign := fresh.with("ca.crt", append(bytes.Clone(fresh["ca.crt"]), other["ca.crt"]...))
	allNew := func(why string) map[string]string {
		return map[string]string{"ca": why, "webhooks": "its authority is new", "reports": "its authority is new"}
	}
	garbage := []byte("-----BEGIN CERTIFICATE-----\nc4nary")
	const leafDue = 40*day - 20*time.Minute
	const authorityDue = 3650*day/3*2 - 20*time.Minute

	for _, test := range []struct {
		name   string
		secret secret
		at     time.Duration
		want   map[string]string
	}{
		{"no Secret", nil, 0, allNew("there is none")},
		{"a Secret without data", secret{}, 0, allNew("there is none")},
		{"all is well", fresh, 0, nil},
		{"a clock that is set back a little", fresh, -59 * time.Minute, nil},
		{"a moment before leaves are due", fresh, leafDue - time.Second, nil},
		{"leaves are due", fresh, leafDue, map[string]string{"webhooks": "two thirds of its time are over", "reports": "two thirds of its time are over"}},
		{"leaves have ended", fresh, 61 * day, map[string]string{"webhooks": "two thirds of its time are over", "reports": "two thirds of its time are over"}},
		{"the authority is due", fresh, authorityDue, allNew("two thirds of its time are over")},
		{"the authority has ended", fresh, 11 * 366 * day, allNew("two thirds of its time are over")},
		{"all were made by a clock that went ahead", future, 0, allNew("it was made in the future")},
		{"the leaves were", lateLeaves, 0, map[string]string{"webhooks": "it was made in the future", "reports": "it was made in the future"}},
		{"a leaf is missing", fresh.with("reports.crt", nil).with("reports.key", nil), 0, map[string]string{"reports": "there is none"}},
		{"a leaf is garbage", fresh.with("webhooks.crt", garbage), 0, map[string]string{"webhooks": "there is none"}},
		{"a leaf has another's key", fresh.with("webhooks.key", fresh["reports.key"]), 0, map[string]string{"webhooks": "there is none"}},
		{"a leaf is for another name", elsewhere, 0, map[string]string{"webhooks": "it is for another name"}},
		{"a leaf is of another authority", fresh.with("webhooks.crt", other["webhooks.crt"]).with("webhooks.key", other["webhooks.key"]), 0, map[string]string{"webhooks": "another authority signed it"}},
		{"the authority is garbage", fresh.with("ca.crt", garbage), 0, allNew("there is none")},
		{"the authority is a leaf", fresh.with("ca.crt", fresh["webhooks.crt"]), 0, allNew("there is none")},
		{"the authority's key is missing", fresh.with("ca.key", nil), 0, allNew("its key is missing or another's")},
		{"the authority's key is garbage", fresh.with("ca.key", garbage), 0, allNew("its key is missing or another's")},
		{"the authority's key is another's", fresh.with("ca.key", other["ca.key"]), 0, allNew("its key is missing or another's")},
		{"a second authority, in the overlap", foreign, certs.Overlap - time.Second, nil},
		{"a second authority, after it", foreign, certs.Overlap, map[string]string{"old": "not needed any more"}},
		{"something that is not ours", fresh.with("note", []byte("hello")), 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := start.Add(test.at)
			got, changed, _, err := certs.Plan(both, test.secret, nil, now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if changed == nil {
				return
			}
			if again, _, due, _ := certs.Plan(both, changed, nil, now); again != nil || !due.After(now) {
				t.Errorf("afterwards there is still to do: %v, due %s", again, due)
			}
			for _, leaf := range both {
				verify(t, changed, leaf, now)
			}
		})
	}
}

// verify has a client look at a leaf by all authorities of the Secret.
func verify(t *testing.T, s secret, leaf certs.Leaf, now time.Time) {
	t.Helper()
	pair, err := tls.X509KeyPair(s[leaf.Name+".crt"], s[leaf.Name+".key"])
	if err != nil {
		t.Fatal(err)
	}
	options := x509.VerifyOptions{DNSName: leaf.DNSName, Roots: x509.NewCertPool(), CurrentTime: now}
	options.Roots.AppendCertsFromPEM(s["ca.crt"])
	if _, err := pair.Leaf.Verify(options); err != nil {
		t.Errorf("a client refuses %s: %v", leaf.Name, err)
	}
}

func TestTheNextLookIsWhenSomethingFallsDue(t *testing.T) {
	fresh := secret(nil).next(t, both, start)
	old := fresh.next(t, both, start.Add(3650*day/3*2))
	for _, test := range []struct {
		name   string
		secret secret
		now    time.Time
		want   time.Time
	}{
		{"the first leaf", fresh, start, start.Add(40*day - 20*time.Minute)},
		{"the end of an overlap", old, start.Add(3650 * day / 3 * 2), start.Add(3650*day/3*2 + certs.Overlap)},
	} {
		if _, _, got, _ := certs.Plan(both, test.secret, nil, test.now); !got.Equal(test.want) {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestOldAuthoritiesStayBesideANewOneForAsLongAsSomebodyServesByThem(t *testing.T) {
	fresh := secret(nil).next(t, both, start)
	live := fresh["ca.crt"]
	later := start.Add(3650 * day / 3 * 2)
	foreign, err := pki.NewAuthority("of others") // ends within a week
	if err != nil {
		t.Fatal(err)
	}
	crowd := live
	for range 9 {
		crowd = append(secret(nil).next(t, both, start)["ca.crt"], crowd...)
	}
	for _, test := range []struct {
		name   string
		secret secret
		live   []byte
		now    time.Time
		want   int // authorities
	}{
		{"the authority is renewed", fresh, live, later, 2},
		{"and API servers do not know the old one", fresh, nil, later, 2},
		{"the Secret was deleted", nil, live, start, 2},
		{"it was, and the caBundle is garbage", nil, []byte("garbage"), start, 1},
		{"it was, and the old one has ended", nil, live, start.Add(3651 * day), 1},
		{"it was, and somebody else's has ended", nil, foreign.Certificate, start.Add(30 * day), 1},
		{"it was, and each of three webhooks knows the old one", nil, bytes.Repeat(live, 3), start, 2},
		{"it was, and the caBundle is crowded", nil, crowd, start, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, changed, _, err := certs.Plan(both, test.secret, test.live, test.now)
			if err != nil {
				t.Fatal(err)
			}
			bundle := parse(t, changed["ca.crt"])
			if len(bundle) != test.want {
				t.Errorf("got %d authorities, want %d", len(bundle), test.want)
			}
			if created := bundle[0].NotBefore.Add(time.Hour); !created.Equal(test.now) {
				t.Errorf("the first is of %s, want of %s", created, test.now)
			}
		})
	}
}

func parse(t testing.TB, bundle []byte) (all []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func TestWhatIsNotOursStaysInTheSecret(t *testing.T) {
	changed := secret{"note": []byte("hello")}.next(t, both, start)
	if got := string(changed["note"]); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestAReplicaServesWhatAPIServersTrust(t *testing.T) {
	first, second, third := newPair(t), newPair(t), newPair(t)
	trusting := func(pairs ...*tls.Certificate) func(*tls.Certificate) error {
		return func(c *tls.Certificate) error {
			for _, p := range pairs {
				if c == p {
					return nil
				}
			}
			return errors.New("unknown authority")
		}
	}
	var replica certs.Replica
	for _, step := range []struct {
		name    string
		offer   *tls.Certificate
		trusted func(*tls.Certificate) error
		at      time.Duration
		want    *tls.Certificate
	}{
		{"nothing to serve yet", nil, trusting(), 0, nil},
		{"the first, trusted or not: there is no other", first, trusting(), 0, first},
		{"nothing is read", nil, trusting(first), 0, first},
		{"the next one is not trusted yet", second, trusting(first), time.Second, first},
		{"nor after a while", second, trusting(first), time.Hour, first},
		{"it is, by one API server", second, trusting(first, second), time.Hour, first},
		{"and still is", second, trusting(first, second), time.Hour + certs.Settle - 1, first},
		{"and is not any more", second, trusting(first), time.Hour + certs.Settle, first},
		{"and is again", second, trusting(first, second), time.Hour + certs.Settle, first},
		{"so it waits anew", second, trusting(first, second), time.Hour + 2*certs.Settle - 1, first},
		{"for others to have heard of it", second, trusting(first, second), time.Hour + 2*certs.Settle, second},
		{"the next one", third, trusting(second, third), 2 * time.Hour, second},
		{"a clock that is set back", third, trusting(second, third), 0, second},
		{"makes it wait no longer", third, trusting(second, third), certs.Settle, third},
		{"what is served is trusted no more", first, trusting(first), certs.Settle, first},
	} {
		if got := replica.Offer(step.offer, step.trusted, start.Add(step.at)); got != step.want {
			t.Errorf("%s: another certificate is served", step.name)
		}
	}
}

func newPair(t *testing.T) *tls.Certificate {
	t.Helper()
	pair, err := pki.SelfSigned(0, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return &certificate
}

func FuzzWhateverIsInTheSecretIsMended(f *testing.F) {
	fresh := secret(nil).next(f, both, start)
	f.Add("ca.crt", []byte("garbage"))
	f.Add("ca.key", fresh["webhooks.key"])
	f.Add("webhooks.crt", fresh["reports.crt"])
	f.Add("webhooks.key", []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		mended := fresh.with(key, value).next(t, both, start)
		if why, _, _, err := certs.Plan(both, mended, nil, start); err != nil || why != nil {
			t.Errorf("there is still to do: %v, %v", why, err)
		}
	})
}
