package certs

import (
	"crypto/tls"
	"time"
)

const (
	Settle  = settle
	Overlap = overlap
)

// Plan lets tests ask what the leader does about a Secret. why is empty, and
// changed nil, if nothing; "ca" is the authority and "old" those beside it.
func Plan(leaves []Leaf, secret map[string][]byte, live []byte, now time.Time) (why map[string]string, changed map[string][]byte, due time.Time, err error) {
	has, _ := readSecret(secret, leaves)
	c := plan(leaves, has, parseBundle(live), now)
	if !c.needed() {
		return nil, nil, c.due, nil
	}
	why = c.issue
	if c.authority != "" {
		why["ca"] = c.authority
	}
	if c.pruned {
		why["old"] = "not needed any more"
	}
	changed, err = c.apply(leaves, has, secret, now)
	return why, changed, c.due, err
}

// Replica lets tests show a replica one certificate after another.
type Replica struct{ s standing }

func (r *Replica) Offer(c *tls.Certificate, trusted func(*tls.Certificate) error, now time.Time) (served *tls.Certificate) {
	r.s = r.s.advance(offer{certificate: c}, trusted, now)
	return r.s.served
}
