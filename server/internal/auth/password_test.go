package auth_test

import (
	"context"
	"errors"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/auth"
)

var passphrase = api.NewValue("correct horse battery staple")

func TestAPasswordVerifiesAgainstItsHash(t *testing.T) {
	passwords := auth.NewPasswords()
	hash, err := passwords.Hash(t.Context(), passphrase)
	if err != nil {
		t.Fatal(err)
	}
	const form = `^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`
	if !regexp.MustCompile(form).MatchString(hash) {
		t.Errorf("the hash is not of the form %s", form)
	}
	if right, err := passwords.Verify(t.Context(), hash, passphrase); err != nil || !right {
		t.Errorf("%t, %v, want true", right, err)
	}
}

// reference was made with OpenSSL's argon2id: it is cheap to verify.
const reference = "$argon2id$v=19$m=64,t=3,p=2$MDEyMzQ1Njc4OWFiY2RlZg$RF21ruRIzbapVuPe0JqLjVpVDekEisqr"

func TestNothingButThePasswordVerifies(t *testing.T) {
	passwords := auth.NewPasswords()
	for name, test := range map[string]struct {
		password string
		want     bool
	}{
		"the password":               {"correct horse battery staple", true},
		"another":                    {"correct horse battery stable", false},
		"in another case":            {"Correct horse battery staple", false},
		"a space behind":             {"correct horse battery staple ", false},
		"a NUL behind":               {"correct horse battery staple\x00", false},
		"its beginning":              {"correct horse", false},
		"nothing":                    {"", false},
		"its hash":                   {reference, false},
		"257 bytes":                  {strings.Repeat("a", 257), false},
		"a megabyte of one letter":   {strings.Repeat("a", 1<<20), false},
		"Unicode that looks like it": {"сorrect horse battery staple", false},
	} {
		got, err := passwords.Verify(t.Context(), reference, api.NewValue(test.password))
		if err != nil || got != test.want {
			t.Errorf("%s: %t, %v, want %t", name, got, err, test.want)
		}
	}
}

func TestAHashIsSaltedAnew(t *testing.T) {
	passwords := auth.NewPasswords()
	passwords.Replace(func() {})
	first, err1 := passwords.Hash(t.Context(), passphrase)
	second, err2 := passwords.Hash(t.Context(), passphrase)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if first == second {
		t.Error("two hashes of one password are the same")
	}
}

// The parameters of new hashes may change; those in the database stay.
func TestAHashIsVerifiedWithItsOwnParameters(t *testing.T) {
	passwords := auth.NewPasswords()
	var costs []uint32
	passwords.Count(func(memory, time uint32, threads uint8) { costs = append(costs, memory, time, uint32(threads)) })
	if right, err := passwords.Verify(t.Context(), reference, passphrase); err != nil || !right {
		t.Errorf("%t, %v, want true", right, err)
	}
	if diff := cmp.Diff([]uint32{64, 3, 2}, costs); diff != "" {
		t.Errorf("memory, time and threads of the work (-want +got):\n%s", diff)
	}
}

func TestAnUnknownPersonCostsTheSameWork(t *testing.T) {
	ctx := t.Context()
	passwords := auth.NewPasswords()
	passwords.Replace(func() {})
	hash, err := passwords.Hash(ctx, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	type work struct {
		Memory, Time uint32
		Threads      uint8
	}
	var done []work
	passwords.Count(func(memory, time uint32, threads uint8) { done = append(done, work{memory, time, threads}) })

	for name, password := range map[string]api.Value{
		"right":     passphrase,
		"wrong":     api.NewValue("a wrong passphrase"),
		"empty":     {},
		"257 bytes": api.NewValue(strings.Repeat("a", 257)),
	} {
		t.Run(name, func(t *testing.T) {
			done = nil
			if _, err := passwords.Verify(ctx, hash, password); err != nil {
				t.Fatal(err)
			}
			known := done
			done = nil
			if err := passwords.VerifyUnknown(ctx, password); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(known, done); diff != "" {
				t.Errorf("the work differs (-known +unknown):\n%s", diff)
			}
			if want := 1; name != "257 bytes" && len(known) != want {
				t.Errorf("%d hashes, want %d", len(known), want)
			}
		})
	}
}

func TestHashingIsBoundedByProcessorsAndWaitsForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		passwords := auth.NewPasswords()
		slots := runtime.GOMAXPROCS(0)
		var running, most atomic.Int64
		release := make(chan struct{})
		passwords.Replace(func() {
			most.Store(max(most.Load(), running.Add(1)))
			<-release
			running.Add(-1)
		})
		var all sync.WaitGroup
		for range slots + 3 {
			all.Go(func() {
				if err := passwords.VerifyUnknown(t.Context(), passphrase); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if got := running.Load(); got != int64(slots) {
			t.Errorf("%d hashes run, want %d", got, slots)
		}

		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() { gaveUp <- passwords.VerifyUnknown(ctx, passphrase) }()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) || !errors.Is(err, api.ErrUnavailable) {
			t.Errorf("one who gave up: %v, want Canceled and ErrUnavailable", err)
		}

		close(release)
		all.Wait()
		if got := most.Load(); got != int64(slots) {
			t.Errorf("at most %d hashes ran at once, want %d", got, slots)
		}
	})
}

func TestACallerWhoIsGoneIsNotHashedFor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	passwords := auth.NewPasswords()
	passwords.Replace(func() { t.Error("it hashed") })
	for range 50 { // a slot is free: without a look at ctx first, about half would hash
		if hash, err := passwords.Hash(ctx, passphrase); !errors.Is(err, api.ErrUnavailable) || hash != "" {
			t.Fatalf("%q, %v, want no hash and ErrUnavailable", hash, err)
		}
	}
}

func TestPasswordsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ password, want string }{
		"empty":          {"", "the password is blank: give 12 to 256 bytes"},
		"blank":          {"                    ", "the password is blank: give 12 to 256 bytes"},
		"blank, Unicode": {"\u2003\u2003\u2003\u2003\u2003\u00a0\t\n", "the password is blank: give 12 to 256 bytes"},
		"short":          {"hunter2", "the password has 7 bytes: give at least 12, since length is what makes it hard to guess"},
		"11 bytes":       {"elevenbytes", "the password has 11 bytes: give at least 12, since length is what makes it hard to guess"},
		"257 bytes":      {strings.Repeat("b", 257), "the password has 257 bytes: give at most 256"},
		"12 bytes":       {"twelve bytes", ""},
		"256 bytes":      {strings.Repeat("b", 256), ""},
		"Unicode":        {"пароль", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := auth.CheckPassword(api.NewValue(test.password))
			if test.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !errors.Is(err, api.ErrInvalid) || err.Error() != test.want {
				t.Errorf("error %v, want %s", err, test.want)
			}
			hash, err := auth.NewPasswords().Hash(t.Context(), api.NewValue(test.password))
			if !errors.Is(err, api.ErrInvalid) || hash != "" {
				t.Errorf("Hash gave %q, %v, want ErrInvalid", hash, err)
			}
		})
	}
}

// 16 and 32 zero bytes.
const (
	zeroSalt = "AAAAAAAAAAAAAAAAAAAAAA"
	zeroHash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

func TestStoredHashesOfAnotherFormAreRefused(t *testing.T) {
	passwords := auth.NewPasswords()
	passwords.Replace(func() {})
	const good = "$argon2id$v=19$m=19456,t=2,p=1$" + zeroSalt + "$" + zeroHash
	if _, err := passwords.Verify(t.Context(), good, passphrase); err != nil {
		t.Fatalf("the unchanged hash: %v", err)
	}
	passwords.Replace(func() { t.Error("it hashed") })
	for name, text := range map[string]string{
		"nothing":                  "",
		"dollars":                  "$$$$$",
		"argon2i":                  strings.Replace(good, "argon2id", "argon2i", 1),
		"bcrypt":                   "$2b$12$abcdefghijklmnopqrstuuPVV3yB9Qx1b9Qh9Ew3M7n1oVq6q2z2K",
		"version 16":               strings.Replace(good, "v=19", "v=16", 1),
		"no version":               strings.Replace(good, "$v=19", "", 1),
		"another order":            strings.Replace(good, "m=19456,t=2", "t=2,m=19456", 1),
		"memory 0":                 strings.Replace(good, "m=19456", "m=0", 1),
		"memory below 8 a thread":  strings.Replace(good, "m=19456,t=2,p=1", "m=31,t=2,p=4", 1),
		"memory beyond 64 MiB":     strings.Replace(good, "m=19456", "m=65537", 1),
		"memory of 4 TiB":          strings.Replace(good, "m=19456", "m=4294967295", 1),
		"memory beyond 32 bits":    strings.Replace(good, "m=19456", "m=4294986752", 1),
		"time 0":                   strings.Replace(good, "t=2", "t=0", 1),
		"time 11":                  strings.Replace(good, "t=2", "t=11", 1),
		"no thread":                strings.Replace(good, "p=1", "p=0", 1),
		"5 threads":                strings.Replace(good, "p=1", "p=5", 1),
		"257 threads, 1 in 8 bits": strings.Replace(good, "p=1", "p=257", 1),
		"a negative time":          strings.Replace(good, "t=2", "t=-2", 1),
		"a sign":                   strings.Replace(good, "t=2", "t=+2", 1),
		"a leading zero":           strings.Replace(good, "t=2", "t=02", 1),
		"a hexadecimal time":       strings.Replace(good, "t=2", "t=0x2", 1),
		"a space":                  strings.Replace(good, "t=2", "t= 2", 1),
		"a fourth parameter":       strings.Replace(good, "p=1", "p=1,keyid=AA", 1),
		"a short salt":             strings.Replace(good, zeroSalt, "AAAA", 1),
		"no salt":                  strings.Replace(good, zeroSalt, "", 1),
		"a long salt":              strings.Replace(good, zeroSalt, strings.Repeat("A", 88), 1),
		"no hash":                  strings.Replace(good, zeroHash, "", 1),
		"a short hash":             strings.Replace(good, zeroHash, "AAAA", 1),
		"a long hash":              strings.Replace(good, zeroHash, strings.Repeat("A", 88), 1),
		"padding":                  good + "=",
		"base64url":                strings.Replace(good, zeroSalt, "_"+zeroSalt[1:], 1),
		"bits behind the last":     good[:len(good)-1] + "B",
		"a line end within":        strings.Replace(good, zeroHash, zeroHash[:20]+"\n"+zeroHash[20:], 1),
		"a line end behind":        good + "\n",
		"a seventh field":          good + "$",
		"text before":              "x" + good,
		"a megabyte":               good + strings.Repeat("A", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			right, err := passwords.Verify(t.Context(), text, passphrase)
			if err == nil || right {
				t.Fatalf("%t, %v, want an error", right, err)
			}
			if api.Kind(err) != "internal" {
				t.Errorf("a broken row is the server's fault, not of kind %s", api.Kind(err))
			}
			if strings.Contains(err.Error(), zeroHash[:20]) {
				t.Errorf("the error repeats the hash: %v", err)
			}
		})
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$" + zeroSalt + "$" + zeroHash)
	f.Add("$argon2id$v=19$m=65536,t=10,p=4$" + zeroSalt + "$" + zeroHash)
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$$")
	f.Add("$argon2id$v=19$m=+8,t=01,p=1\n$AAAA$AAAA")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, text string) {
		again, memory, time, threads, err := auth.ReparsePHC(text)
		if err != nil {
			return
		}
		if again != text {
			t.Errorf("a hash with two spellings was taken: %q, %q", text, again)
		}
		if memory > 64<<10 || time < 1 || time > 10 || threads < 1 || threads > 4 {
			t.Errorf("out of bounds: m=%d,t=%d,p=%d", memory, time, threads)
		}
	})
}
