package secrets_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/internal/app"
	"github.com/hanzoai/kms/server/internal/seal"
	"github.com/hanzoai/kms/server/internal/secrets"
	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

// contents is every row of every table.
func contents(t *testing.T, db *sql.DB) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, table := range tableNames(t, db) {
		all[table] = tableRows(t, db, table)
	}
	return all
}

func tableNames(t *testing.T, db *sql.DB) (names []string) {
	t.Helper()
	rows, err := db.Query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
	if err != nil {
		rows, err = db.Query("SELECT name FROM sqlite_schema WHERE type = 'table'")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if len(names) < 20 {
		t.Fatalf("only the tables %q were found", names)
	}
	return names
}

func tableRows(t *testing.T, db *sql.DB, table string) (lines []string) {
	t.Helper()
	rows, err := db.Query("SELECT * FROM " + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%q", values))
	}
	slices.Sort(lines)
	return lines
}

// start tries to start a server on a database; it gives why it does not.
func start(config kmstest.Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	a, err := app.New(context.Background(), config, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	return fmt.Errorf("it starts, and then: %w", a.Close())
}

func TestAWrongRootKeyIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		v := newVictim(t, engine)
		v.Stop()
		before := contents(t, v.db)
		right, wrong := v.Config.RootKey.Reveal(), seal.GenerateRootKey()
		for name, key := range map[string]string{"another key": wrong, "two other keys": wrong + "," + seal.GenerateRootKey(), "a short key": "c2hvcnQ=", "none": ""} {
			config := v.Config
			config.RootKey = api.NewValue(key)
			err := start(config)
			if err == nil || !strings.Contains(err.Error(), "ROOT_ENCRYPTION_KEY") {
				t.Errorf("%s: %v, want an error about ROOT_ENCRYPTION_KEY", name, err)
			}
			for _, secret := range []string{right, wrong} {
				if form, found := kmstest.Leak(fmt.Sprint(err), secret); found {
					t.Errorf("%s: the error holds a key %s", name, form)
				}
			}
		}
		if diff := cmp.Diff(before, contents(t, v.db)); diff != "" {
			t.Errorf("the database changed (-before +after):\n%s", diff)
		}
		v.Start()
		v.wantAll(t)
	})
}

// wantAll reads every secret.
func (v *victim) wantAll(t *testing.T) {
	t.Helper()
	for name, want := range v.values {
		place, key := name[:len(name)-1], name[len(name)-1:]
		if got, err := v.Admin().Get(t.Context(), v.scopes[place], key, sdk.GetOptions{}); err != nil || got.SecretValue != want {
			t.Errorf("%s in %s: %v, want its value", key, place, err)
		}
	}
}

// Keys of the instance that were altered or exchanged keep the server from
// starting; a project's keep that project shut, and no other.
func TestAnAlteredKeyOpensNothing(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		v := newVictim(t, engine)
		v.Stop()
		wrapped := func(purpose, scope string) []byte {
			return blob(t, v.db, "SELECT wrapped FROM keys WHERE purpose = $1 AND scope = $2", purpose, scope)
		}
		set := func(purpose, scope string, to []byte) {
			execute(t, v.db, "UPDATE keys SET wrapped = $1 WHERE purpose = $2 AND scope = $3", to, purpose, scope)
		}
		check := blob(t, v.db, "SELECT check_value FROM root_keys")
		execute(t, v.db, "UPDATE root_keys SET check_value = $1", flipped(check, 7))
		if err := start(v.Config); err == nil || strings.Contains(err.Error(), "it starts") {
			t.Errorf("an altered check value: %v, want a refusal", err)
		}
		execute(t, v.db, "UPDATE root_keys SET check_value = $1", check)
		for _, purpose := range []seal.Purpose{seal.PurposeClientSecret, seal.PurposeToken, seal.PurposeETag, seal.PurposeAudit, seal.PurposeBackup} {
			good := wrapped(string(purpose), "")
			others := map[string][]byte{"that of a project": wrapped(string(seal.PurposeProject), v.scopes["here"].ProjectID), "cut off": good[:len(good)-1]}
			for _, at := range []int{0, 1, 13, len(good) / 2, len(good) - 1} {
				others[fmt.Sprintf("flipped at byte %d", at)] = flipped(good, at)
			}
			for name, other := range others {
				set(string(purpose), "", other)
				err := start(v.Config)
				if err == nil || strings.Contains(err.Error(), "it starts") {
					t.Errorf("the key for %s is %s: %v, want a refusal", purpose, name, err)
				}
			}
			set(string(purpose), "", good)
		}
		here, other := v.scopes["here"].ProjectID, v.scopes["another project"].ProjectID
		good := wrapped(string(seal.PurposeProject), here)
		for name, wrong := range map[string][]byte{"flipped": flipped(good, 20), "that of another project": wrapped(string(seal.PurposeProject), other)} {
			set(string(seal.PurposeProject), here, wrong)
			v.Start()
			if got, err := v.Admin().Get(t.Context(), v.scopes["here"], "A", sdk.GetOptions{}); api.Status(err) != 500 || got.SecretValue != "" {
				t.Errorf("the project's key is %s: %v, want an internal error", name, err)
			}
			if got, err := v.Admin().Get(t.Context(), v.scopes["another project"], "A", sdk.GetOptions{}); err != nil || got.SecretValue != v.values["another projectA"] {
				t.Errorf("the other project: %v", err)
			}
			v.Stop()
		}
		set(string(seal.PurposeProject), here, good)
		v.Start()
		v.wantAll(t)
	})
}

// pair is two replicas of which one at a time is rolled, with a load balancer
// in front that asks only who is up.
type pair struct {
	replicas [2]*kmstest.Server

	mu sync.RWMutex // held for reading by requests, for writing to switch
	up int
}

// roll restarts one replica after the other with a changed configuration.
func (p *pair) roll(change func(*kmstest.Config)) {
	for i, replica := range p.replicas {
		p.mu.Lock()
		p.up = 1 - i
		p.mu.Unlock()
		replica.Stop()
		change(&replica.Config)
		replica.Start()
	}
}

func (p *pair) use(do func(*kmstest.Server)) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	do(p.replicas[p.up])
}

func newPair(t *testing.T) (*victim, *pair) {
	t.Helper()
	v := newVictim(t, kmstest.Postgres)
	return v, &pair{replicas: [2]*kmstest.Server{v.Server, kmstest.New(t, kmstest.Options{Beside: v.Server})}}
}

// load reads and writes through the pair until stop, which gives how often.
func (p *pair) load(t *testing.T, v *victim, client func(*kmstest.Server) *sdk.Client) (stop func() int) {
	t.Helper()
	var working sync.WaitGroup
	done, rounds := make(chan struct{}), 0
	working.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			p.use(func(kms *kmstest.Server) {
				got, err := client(kms).Get(context.Background(), v.scopes["here"], "A", sdk.GetOptions{})
				if err != nil || got.SecretValue != v.values["hereA"] {
					t.Errorf("read %d: %v", rounds, err)
				}
				value := fmt.Sprint(rounds)
				if _, err := kms.Admin().UpdateBatch(context.Background(), v.scopes["here"], sdk.Upsert, []sdk.SecretInput{{Key: "COUNTER", Value: &value}}); err != nil {
					t.Errorf("write %d: %v", rounds, err)
				}
			})
			rounds++
		}
	})
	return func() int {
		close(done)
		working.Wait()
		return rounds
	}
}

func TestTheRootKeyIsRotatedWhileTwoReplicasServe(t *testing.T) {
	t.Parallel()
	v, p := newPair(t)
	older, newer := v.Config.RootKey.Reveal(), seal.GenerateRootKey()
	keysUnder := func() (n int) {
		t.Helper()
		if err := v.db.QueryRow("SELECT count(DISTINCT root_id) FROM keys").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	set := func(keys ...string) func(*kmstest.Config) {
		return func(c *kmstest.Config) { c.RootKey = api.NewValue(strings.Join(keys, ",")) }
	}
	stop := p.load(t, v, (*kmstest.Server).Admin)
	p.roll(set(older, newer))
	p.roll(set(newer, older))
	p.use(func(kms *kmstest.Server) { kms.Project("made-between") })
	// The old key is still needed: without it nothing may start.
	early := v.Config
	set(newer)(&early)
	if err := start(early); err == nil || !strings.Contains(err.Error(), "still wraps keys") {
		t.Errorf("the old key is taken away too early: %v, want a refusal", err)
	}
	rewrapping := v.Config
	if err := rewrapping.Validate(); err != nil {
		t.Fatal(err)
	}
	moved, err := app.Rewrap(t.Context(), rewrapping, slog.New(slog.DiscardHandler))
	if err != nil || moved < 7 || keysUnder() != 1 {
		t.Errorf("re-wrap: %d keys moved, %d root keys in use, %v", moved, keysUnder(), err)
	}
	p.roll(set(newer))
	if rounds := stop(); rounds < 10 {
		t.Errorf("only %d rounds were done meanwhile", rounds)
	}
	v.wantAll(t)
	gone := v.Config
	set(older)(&gone)
	if err := start(gone); err == nil || !strings.Contains(err.Error(), "not the key of this database") {
		t.Errorf("the old key alone, afterwards: %v, want a refusal", err)
	}
	report, err := v.App().Service().Audit().Verify(t.Context(), nil)
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("the audit trail afterwards: %q, %v", report.Problems, err)
	}
}

// AUTH_SECRET is rotated over two rollouts: the new one last, which verifies,
// then first, which signs; taken away is the old one when its tokens are dead.
func TestTheAuthSecretIsRotatedWhileTokensLive(t *testing.T) {
	t.Parallel()
	v, p := newPair(t)
	service := v.Identity(api.Project{Slug: "service"}, "")
	if _, err := v.Admin().AddIdentityToProject(t.Context(), v.scopes["here"].ProjectID, service.IdentityID, api.MembershipRole{Role: "viewer"}); err != nil {
		t.Fatal(err)
	}
	_, newer := app.Generate()
	older := v.Config.AuthSecret.Reveal()
	token := tokenOf(t, v.Server, service)
	set := func(secrets ...string) func(*kmstest.Config) {
		return func(c *kmstest.Config) { c.AuthSecret = api.NewValue(strings.Join(secrets, ",")) }
	}
	stop := p.load(t, v, func(kms *kmstest.Server) *sdk.Client { return kms.WithToken(token) })
	p.roll(set(older, newer))
	p.roll(set(newer, older))
	// A token of after the switch holds at both replicas, and at one of before it.
	fresh := tokenOf(t, p.replicas[0], service)
	for i, replica := range p.replicas {
		if _, err := replica.WithToken(fresh).Get(t.Context(), v.scopes["here"], "A", sdk.GetOptions{}); err != nil {
			t.Errorf("a new token at replica %d: %v", i, err)
		}
	}
	if rounds := stop(); rounds < 5 {
		t.Errorf("only %d rounds were done meanwhile", rounds)
	}
	p.roll(set(newer))
	for name, want := range map[string]int{token: 401, fresh: 200} {
		_, err := p.replicas[1].WithToken(name).Get(t.Context(), v.scopes["here"], "A", sdk.GetOptions{})
		if got := api.Status(err); err == nil && want != 200 || err != nil && got != want {
			t.Errorf("without the old secret: %v, want %d", err, want)
		}
	}
}

func tokenOf(t *testing.T, kms *kmstest.Server, c kmstest.Credentials) string {
	t.Helper()
	caller := secrets.Caller{Addr: netip.MustParseAddr("127.0.0.1"), UserAgent: "test", RequestID: "test"}
	login, err := kms.App().Service().Login(t.Context(), caller, c.ClientID, api.NewValue(c.ClientSecret))
	if err != nil {
		t.Fatal(err)
	}
	kms.Plant(login.AccessToken)
	return login.AccessToken
}

// A key is used 2^31 times at most: then a new version seals, and what the old
// one sealed still opens, at a replica that was not told either.
func TestAUsedUpKeyIsFollowedByANewOne(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		v := newVictim(t, engine)
		beside := v.Server
		if engine == kmstest.Postgres {
			beside = kmstest.New(t, kmstest.Options{Beside: v.Server})
		}
		other := &victim{Server: beside, db: v.db, scopes: v.scopes, values: v.values}
		other.wantAll(t)
		v.Stop() // which gives up what it has reserved
		project := v.scopes["here"].ProjectID
		execute(t, v.db, "UPDATE keys SET seals = $1 WHERE scope = $2", int64(seal.MaxSeals-10), project)
		v.Start()
		old := v.ids(t, "here", "A")
		value := v.Value()
		if _, err := v.Admin().Update(t.Context(), v.scopes["here"], sdk.SecretInput{Key: "A", Value: &value}); err != nil {
			t.Fatalf("write with a key that is used up: %v", err)
		}
		v.values["hereA"] = value
		versions := tableRows(t, v.db, "keys")
		if n := strings.Count(strings.Join(versions, "\n"), project); n != 2 {
			t.Errorf("the project has %d versions of its key, want 2", n)
		}
		for version, want := range map[string]byte{old.now: 1, string(blob(t, v.db, "SELECT version_id FROM secrets WHERE id = $1", old.secret)): 2} {
			if sealed := blob(t, v.db, "SELECT value FROM secret_versions WHERE id = $1", version); sealed[4] != want {
				t.Errorf("a version is sealed by key %d, want %d", sealed[4], want)
			}
		}
		v.wantAll(t)
		if engine == kmstest.Postgres {
			other.wantAll(t)
		}
		if got, err := v.Admin().Get(t.Context(), v.scopes["here"], "A", sdk.GetOptions{Version: 2}); err != nil || got.SecretValue == value {
			t.Errorf("the version before: %v", err)
		}
	})
}

// The first write to a project makes its key. That a replica hears of its own
// new key must not take away the room that it has reserved.
func TestTheFirstWriteToAProjectMakesItsKey(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		kms := kmstest.New(t, kmstest.Options{Engine: engine})
		replicas := []*kmstest.Server{kms, kms}
		if engine == kmstest.Postgres {
			replicas[1] = kmstest.New(t, kmstest.Options{Beside: kms})
		}
		project := kms.Project("shop")
		for _, replica := range replicas { // all that there is to hear has been heard
			if _, err := replica.Admin().ListSecrets(sdk.ListSecretsOptions{ProjectID: project.ID, Environment: "dev"}); err != nil {
				t.Fatal(err)
			}
		}
		var writers sync.WaitGroup
		for i, replica := range replicas {
			for n := range 4 {
				writers.Go(func() { replica.Put(project, "dev", "/", fmt.Sprintf("K%d%d", i, n), "value") })
			}
		}
		writers.Wait()
		all, err := kms.Admin().ListSecrets(sdk.ListSecretsOptions{ProjectID: project.ID, Environment: "dev"})
		if err != nil || len(all) != 8 {
			t.Errorf("%d secrets, %v, want 8", len(all), err)
		}
	})
}

// Once a year, and at the word of kms-server rotate-keys, every project gets a
// new version of its key, while replicas serve.
func TestProjectsGetNewKeysOnceAYearAndOnCommand(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		clock := &kmstest.Clock{}
		kms := kmstest.New(t, kmstest.Options{Engine: engine, Clock: clock})
		replica := kms
		if engine == kmstest.Postgres {
			replica = kmstest.New(t, kmstest.Options{Beside: kms, Clock: clock})
		}
		project := kms.Project("shop")
		db := database(t, kms)
		sealedBy := func(key string) byte {
			return blob(t, db, "SELECT v.value FROM secrets s JOIN secret_versions v ON v.id = s.version_id WHERE s.key = $1", key)[4]
		}
		for want := byte(1); want <= 3; want++ {
			key := fmt.Sprintf("KEY_%d", want)
			replica.Put(project, "dev", "/", key, key)
			if got := sealedBy(key); got != want {
				t.Errorf("%s is sealed by key %d, want %d", key, got, want)
			}
			for _, server := range []*kmstest.Server{kms, replica} {
				all, err := server.Admin().ListSecrets(sdk.ListSecretsOptions{ProjectID: project.ID, Environment: "dev"})
				if err != nil || len(all) != int(want) || all[0].SecretValue != "KEY_1" {
					t.Fatalf("with %d keys: %d secrets, %v", want, len(all), err)
				}
			}
			switch want {
			case 1:
				if n, err := kms.App().Service().RotateDataKeys(t.Context()); err != nil || n != 1 {
					t.Fatalf("rotate: %d projects, %v", n, err)
				}
				replica.Put(project, "prod", "/", "WHICH_HEARS_OF_IT", "by its look at the change feed")
			case 2:
				clock.Advance(366 * 24 * time.Hour)
			}
		}
	})
}
