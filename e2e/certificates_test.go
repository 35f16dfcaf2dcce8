//go:build e2e

package e2e_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

const certificates = "kms-injector-certificates"

// Whatever becomes of the certificates, the injector mends it by itself, and no
// pod comes to be naked meanwhile.
func TestCertificatesAreMendedByNobodysHelp(t *testing.T) {
	p := installed(t)
	for _, test := range []struct {
		name string
		harm func(*testing.T, *product)
	}{
		{"the Secret is deleted", deleteCertificates},
		{"the leaf has expired", expireLeaf},
		{"the caBundles are wiped", wipeBundles},
	} {
		t.Run(test.name, func(t *testing.T) {
			ns := newNamespace(t)
			l := newLoad(t, ns)
			l.more(t, 10)
			before := p.kept(t)
			test.harm(t, p)
			harmed := time.Now()
			await(t, func() error { return p.kept(t).sound(before) })
			mended := time.Since(harmed)
			l.more(t, 20)
			l.stop()
			t.Logf("mended after %.1f s; %d pods were created, %d refused %v", mended.Seconds(), l.created, len(l.refused), errors.Join(l.refused...))
			if l.naked != nil {
				t.Errorf("naked: %v", l.naked)
			}
			p.kubectl(t, "", "wait", "--for=condition=Ready", "--timeout=60s", "pod", "--selector=app=kms-injector")
			if _, err := ns.apiServer(t).create(t.Context(), ns, asking("shop", gated()), ""); err != nil {
				t.Errorf("afterwards a pod is refused: %v", err)
			}
		})
	}
}

// kept is what the injector keeps.
type kept struct {
	secret  map[string][]byte
	bundles []string // of all webhooks
}

func (p *product) kept(t *testing.T) (k kept) {
	t.Helper()
	k.secret = map[string][]byte{}
	for _, secret := range p.list(t, "secrets", "--field-selector=metadata.name="+certificates) {
		data, _ := secret["data"].(map[string]any)
		for key, value := range data {
			k.secret[key], _ = base64.StdEncoding.DecodeString(fmt.Sprint(value))
		}
	}
	for _, configuration := range p.list(t, "mutatingwebhookconfigurations,validatingwebhookconfigurations", "--field-selector=metadata.name=kms-injector") {
		for _, webhook := range configuration["webhooks"].([]any) {
			bundle, _ := object(webhook.(map[string]any)).at("clientConfig", "caBundle").(string)
			text, _ := base64.StdEncoding.DecodeString(bundle)
			k.bundles = append(k.bundles, string(text))
		}
	}
	return k
}

// sound says why an API server would refuse the leaf, or what is lost that was
// there before.
func (k kept) sound(before kept) error {
	pair, err := tls.X509KeyPair(k.secret["webhooks.crt"], k.secret["webhooks.key"])
	if err != nil {
		return fmt.Errorf("the leaf: %w", err)
	}
	if len(k.bundles) != len(before.bundles) {
		return fmt.Errorf("%d webhooks, not %d", len(k.bundles), len(before.bundles))
	}
	for _, bundle := range k.bundles {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(bundle))
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "kms-injector." + home + ".svc", Roots: roots}); err != nil {
			return err
		}
	}
	return nil
}

func deleteCertificates(t *testing.T, p *product) {
	p.kubectl(t, "", "delete", "secret", certificates)
}

// expireLeaf puts one in that the authority signed, and whose time is over.
func expireLeaf(t *testing.T, p *product) {
	before := p.kept(t).secret
	authority, err := tls.X509KeyPair(before["ca.crt"], before["ca.key"])
	pair, wrong := tls.X509KeyPair(before["webhooks.crt"], before["webhooks.key"])
	if err = errors.Join(err, wrong); err != nil {
		t.Fatal(err)
	}
	leaf := *pair.Leaf
	leaf.SerialNumber, leaf.NotBefore, leaf.NotAfter = big.NewInt(1), time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	expired, err := x509.CreateCertificate(rand.Reader, &leaf, authority.Leaf, leaf.PublicKey, authority.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: expired}))
	p.kubectl(t, "", "patch", "secret", certificates, "--patch="+fmt.Sprintf(`{"data": {"webhooks.crt": %q}}`, text))
}

func wipeBundles(t *testing.T, p *product) {
	for kind, webhooks := range map[string]int{"mutatingwebhookconfiguration": 1, "validatingwebhookconfiguration": 2} {
		var operations []string
		for i := range webhooks {
			operations = append(operations, fmt.Sprintf(`{"op": "remove", "path": "/webhooks/%d/clientConfig/caBundle"}`, i))
		}
		p.kubectl(t, "", "patch", kind, "kms-injector", "--type=json", "--patch=["+strings.Join(operations, ", ")+"]")
	}
}
