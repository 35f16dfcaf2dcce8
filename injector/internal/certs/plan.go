package certs

import (
	"crypto/x509"
	"maps"
	"slices"
	"time"
)

const (
	// overlap is how long an authority is trusted after its last leaf was
	// replaced. A replica takes up a leaf within seconds, or, if it hears of
	// nothing, when it reads again.
	overlap = time.Hour

	// maxOld keeps what others put into a caBundle from filling the Secret.
	maxOld = 4
)

// change is what the Secret lacks.
type change struct {
	authority string              // why a new one is made, "" if none is
	issue     map[string]string   // by name of a leaf, why it is issued
	old       []*x509.Certificate // authorities to trust beside the one that signs
	pruned    bool                // there were others before
	due       time.Time           // of the next change, if there is none now
}

func (c change) needed() bool { return c.authority != "" || len(c.issue) > 0 || c.pruned }

// plan compares the Secret with what it should hold at a time. live are the
// authorities that API servers trust: where the Secret was deleted, they are
// what replicas still serve by.
func plan(leaves []Leaf, has stored, live []*x509.Certificate, now time.Time) (c change) {
	c.issue = map[string]string{}
	if c.authority = whyAuthority(has, now); c.authority != "" {
		for _, leaf := range leaves {
			c.issue[leaf.Name] = "its authority is new"
		}
		c.old = atMost(maxOld, trustedStill(slices.Concat(has.authorities, live), now))
		return c
	}
	newest := has.authorities[0]
	for _, leaf := range leaves {
		if why := whyLeaf(leaf, has, now); why != "" {
			c.issue[leaf.Name] = why
		}
	}
	ends := overlapEnds(leaves, has)
	if len(c.issue) > 0 || now.Before(ends) {
		c.old = atMost(maxOld, trustedStill(has.authorities[1:], now))
	}
	c.pruned = len(c.old) != len(has.authorities)-1
	c.due = nextDue(leaves, has, newest)
	if len(c.old) > 0 {
		c.due = earlier(c.due, ends)
	}
	return c
}

// whyAuthority says why the one in the Secret cannot sign any more.
func whyAuthority(has stored, now time.Time) string {
	switch {
	case len(has.authorities) == 0:
		return "there is none"
	case has.key == nil:
		return "its key is missing or another's"
	case now.Before(has.authorities[0].NotBefore):
		return "it was made in the future"
	case !now.Before(due(has.authorities[0])):
		return "two thirds of its time are over"
	}
	return ""
}

func whyLeaf(leaf Leaf, has stored, now time.Time) string {
	pair := has.leaves[leaf.Name]
	switch {
	case pair == nil:
		return "there is none"
	case pair.Leaf.VerifyHostname(leaf.DNSName) != nil:
		return "it is for another name"
	case pair.Leaf.CheckSignatureFrom(has.authorities[0]) != nil:
		return "another authority signed it"
	case now.Before(pair.Leaf.NotBefore):
		return "it was made in the future"
	case !now.Before(due(pair.Leaf)):
		return "two thirds of its time are over"
	}
	return ""
}

// trustedStill are those that are valid, each once.
func trustedStill(authorities []*x509.Certificate, now time.Time) (still []*x509.Certificate) {
	for _, a := range authorities {
		again := slices.ContainsFunc(still, a.Equal)
		if validAt(a, now) && !again {
			still = append(still, a)
		}
	}
	return still
}

func atMost(n int, authorities []*x509.Certificate) []*x509.Certificate {
	return authorities[:min(n, len(authorities))]
}

// overlapEnds is when no replica serves a leaf of an old authority any more.
func overlapEnds(leaves []Leaf, has stored) (ends time.Time) {
	for _, leaf := range leaves {
		if pair := has.leaves[leaf.Name]; pair != nil && created(pair.Leaf).Add(overlap).After(ends) {
			ends = created(pair.Leaf).Add(overlap)
		}
	}
	return ends
}

func nextDue(leaves []Leaf, has stored, newest *x509.Certificate) time.Time {
	next := due(newest)
	for _, leaf := range leaves {
		if pair := has.leaves[leaf.Name]; pair != nil {
			next = earlier(next, due(pair.Leaf))
		}
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// apply is the data of the Secret with the change in it. What is not ours
// stays: a replica of another version may have put it there.
func (c change) apply(leaves []Leaf, has stored, data map[string][]byte, now time.Time) (changed map[string][]byte, err error) {
	changed = maps.Clone(data)
	if changed == nil {
		changed = map[string][]byte{}
	}
	signer, err := c.signer(has, now)
	if err != nil {
		return nil, err
	}
	if changed[authorityKey], err = encodeKey(signer.key); err != nil {
		return nil, err
	}
	changed[bundleKey] = encodeBundle(slices.Concat([]*x509.Certificate{signer.certificate}, c.old))
	for _, leaf := range leaves {
		if c.issue[leaf.Name] == "" {
			continue
		}
		changed[leaf.Name+".crt"], changed[leaf.Name+".key"], err = signer.issue(leaf, now)
		if err != nil {
			return nil, err
		}
	}
	return changed, nil
}

func (c change) signer(has stored, now time.Time) (authority, error) {
	if c.authority != "" {
		return newAuthority(now)
	}
	return authority{has.authorities[0], has.key}, nil
}
