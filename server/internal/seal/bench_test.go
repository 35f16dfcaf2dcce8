package seal_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/hanzoai/kms/server/internal/seal"
)

var sizes = []int{64, 1024}

func BenchmarkSeal(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			keyring, plaintext := newKeyring(b), make([]byte, size)
			keyring.Grant(math.MaxInt64 - plenty)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				mustSeal(b, keyring, plaintext, field)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			keyring := newKeyring(b)
			sealed := mustSeal(b, keyring, make([]byte, size), field)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := keyring.Open(sealed, field); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMAC(b *testing.B) {
	_, key := mustNewKey(b, mustRing(b, seal.GenerateRootKey()), seal.PurposeClientSecret, "", 1)
	secret := make([]byte, 46)
	b.ReportAllocs()
	for b.Loop() {
		key.MAC("client secret", secret)
	}
}

func BenchmarkVerifyHead(b *testing.B) {
	keyring := newKeyring(b)
	mac := keyring.HeadMAC(head)
	b.ReportAllocs()
	for b.Loop() {
		if err := keyring.VerifyHead(head, mac); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnwrap(b *testing.B) {
	ring := mustRing(b, seal.GenerateRootKey())
	w, _ := mustNewKey(b, ring, seal.PurposeProject, "p", 1)
	b.ReportAllocs()
	for b.Loop() {
		mustUnwrap(b, ring, w)
	}
}
