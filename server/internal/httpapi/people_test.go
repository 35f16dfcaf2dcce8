package httpapi_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/internal/store"
	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

const (
	bootstrapPath     = "/api/v1/admin/bootstrap"
	organizationsPath = "/api/v1/admin/organization-management/organizations"
	invitePath        = "/api/v1/invite-org/signup"
	passwordPath      = "/api/v1/password/set"
	userLoginPath     = "/api/v3/auth/login"
)

// linkToken takes the token out of the one set-password link of an answer.
func linkToken(t *testing.T, kms *kmstest.Server, invited reply) string {
	t.Helper()
	var links []struct{ Email, Link string }
	decode(t, invited.object(t)["completeInviteLinks"], &links)
	if len(links) != 1 {
		t.Fatalf("%d links, want 1: %s", len(links), invited.body)
	}
	link, err := url.Parse(links[0].Link)
	if err != nil || link.Path != "/set-password" {
		t.Fatalf("the link %v, %v", link, err)
	}
	kms.Plant(link.Query().Get("token"))
	return link.Query().Get("token")
}

// person follows the link of an invitation: he sets a password, logs in, and
// this is his token. His password is his address, twice.
func person(t *testing.T, kms *kmstest.Server, invited reply) string {
	t.Helper()
	var links []struct{ Email, Link string }
	decode(t, invited.object(t)["completeInviteLinks"], &links)
	k := knock(t, kms, "")
	k.want(200, "POST", passwordPath, fields{"token": linkToken(t, kms, invited), "password": links[0].Email + links[0].Email})
	return userLogin(t, kms, links[0].Email)
}

func userLogin(t *testing.T, kms *kmstest.Server, email string) string {
	t.Helper()
	got := knock(t, kms, "").want(200, "POST", userLoginPath, fields{"email": email, "password": email + email}).text(t, "accessToken")
	kms.Plant(email + email)
	kms.Plant(got)
	return got
}

// invited invites a person into the organisation of the server, as its admin.
func invited(t *testing.T, kms *kmstest.Server, email, role string) reply {
	t.Helper()
	return knock(t, kms, kms.Token.Reveal()).want(200, "POST", invitePath, fields{"inviteeEmails": []string{email}, "organizationId": kms.OrgID, "organizationRoleSlug": role})
}

func TestAnInstanceIsSetUpOnce(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		kms := kmstest.New(t, kmstest.Options{Engine: engine, Empty: true})
		k, password := knock(t, kms, ""), kms.Value()
		for name, bad := range map[string]fields{
			"nothing":            {},
			"nulls":              {"email": nil, "password": nil, "organization": nil},
			"no password":        {"email": "admin@example.com", "organization": "hanzo"},
			"a short password":   {"email": "admin@example.com", "organization": "hanzo", "password": "eleven char"},
			"no address":         {"email": "admin", "organization": "hanzo", "password": password},
			"no organization":    {"email": "admin@example.com", "organization": "", "password": password},
			"a number as a name": {"email": "admin@example.com", "organization": 7, "password": password},
		} {
			if got := k.send("POST", bootstrapPath, bad); got.status != 400 || strings.Contains(got.message(t), "already") {
				t.Errorf("%s: status %d: %s", name, got.status, got.body)
			}
		}
		body := fields{"email": "Admin@Example.com", "password": password, "organization": "hanzo", "domain": kms.URL}
		winners := make(chan reply, 10)
		counts := hammer(t, 10, func(int) reply {
			got := k.send("POST", bootstrapPath, body)
			if got.status == 200 {
				winners <- got
			} else if !strings.Contains(got.message(t), "already been set up") {
				t.Errorf("one of the later ones: %s", got.body)
			}
			return got
		})
		if diff := cmp.Diff(map[int]int{200: 1, 400: 9}, counts); diff != "" {
			t.Fatalf("ten at once (-want +got):\n%s", diff)
		}
		got := <-winners
		token := got.text(t, "identity", "credentials", "token")
		kms.Plant(token)
		for path, want := range map[string]string{"message": "Successfully bootstrapped instance", "identity.name": "Instance Admin Identity", "organization.name": "hanzo",
			"organization.slug": "hanzo", "user.email": "admin@example.com", "user.username": "admin@example.com", "user.firstName": "Admin", "user.lastName": "User"} {
			if text := got.text(t, strings.Split(path, ".")...); text != want {
				t.Errorf("%s is %q, want %q", path, text, want)
			}
		}
		if string(got.object(t, "user")["superAdmin"]) != "true" {
			t.Errorf("the person does not administer the instance: %s", got.body)
		}
		if again := k.want(400, "POST", bootstrapPath, body).message(t); !strings.Contains(again, "already been set up") {
			t.Errorf("a second time: %s", again)
		}
		k.as(token).want(200, "GET", identitiesPath, nil)
		k.want(200, "POST", userLoginPath, fields{"email": "ADMIN@example.com", "password": password})
	})
}

// The job of the chart: wait, bootstrap, make the organisations that are not
// there. Run again, or after half of it, it changes nothing more.
func TestTheBootstrapJobCanRunAgain(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{Empty: true})
	password, kept := kms.Value(), ""
	job := func(stopAfter int) (made int) {
		k := knock(t, kms, "")
		if k.want(200, "GET", "/api/status", nil).message(t) != "Ok" {
			t.Fatal("not ready")
		}
		got := k.send("POST", bootstrapPath, fields{"email": "admin@example.com", "password": password, "organization": "hanzo"})
		switch {
		case got.status == 200:
			kept = got.text(t, "identity", "credentials", "token")
			kms.Plant(kept)
		case got.status != 400 || !strings.Contains(got.message(t), "already been set up"):
			t.Fatalf("bootstrap: %d %s", got.status, got.body)
		}
		k = k.as(kept)
		there := map[string]bool{}
		var all []api.Organization
		decode(t, k.want(200, "GET", organizationsPath, nil).object(t)["organizations"], &all)
		for _, o := range all {
			there[o.Name] = true
		}
		for _, name := range []string{"hanzo", "lux", "zoo", "pars"} {
			if !there[name] && made < stopAfter {
				k.want(200, "POST", organizationsPath, fields{"name": name, "inviteAdminEmails": []string{"admin@example.com"}})
				made++
			}
		}
		return made
	}
	for i, want := range []int{1, 2, 0} {
		if made := job([]int{1, 99, 99}[i]); made != want {
			t.Errorf("run %d made %d organizations, want %d", i+1, made, want)
		}
	}
	k := knock(t, kms, kept)
	if got := k.want(400, "POST", organizationsPath, fields{"name": "lux"}); !strings.Contains(got.message(t), "already exists") {
		t.Errorf("the same organization again: %s", got.body)
	}
	admin := k.want(200, "POST", userLoginPath, fields{"email": "admin@example.com", "password": password}).text(t, "accessToken")
	var mine []api.Organization
	decode(t, k.as(admin).want(200, "GET", "/api/v1/organization", nil).object(t)["organizations"], &mine)
	if len(mine) != 4 {
		t.Errorf("the person is in %d organizations, want 4", len(mine))
	}
}

func TestAnInvitationIsALinkThatWorksOnce(t *testing.T) {
	t.Parallel()
	var clock kmstest.Clock
	kms := kmstest.New(t, kmstest.Options{Clock: &clock})
	k := knock(t, kms, "")
	link := linkToken(t, kms, invited(t, kms, "Ada@Example.com", "member"))
	k.want(401, "POST", userLoginPath, fields{"email": "ada@example.com", "password": ""})
	k.want(400, "POST", passwordPath, fields{"token": link, "password": "short"})
	k.want(400, "POST", passwordPath, fields{"token": nil, "password": nil})
	k.want(401, "POST", passwordPath, fields{"token": "kmsl." + strings.Repeat("A", 43), "password": "ada@example.comada@example.com"})
	k.want(200, "POST", passwordPath, fields{"token": link, "password": "ada@example.comada@example.com"}) // a bad password did not use it up
	k.want(401, "POST", passwordPath, fields{"token": link, "password": "another password of mine"})
	ada := userLogin(t, kms, "ada@example.com")
	self := k.as(ada).want(200, "GET", "/api/v1/user", nil)
	if self.text(t, "user", "email") != "ada@example.com" || string(self.object(t, "user")["superAdmin"]) != "false" {
		t.Errorf("I am %s", self.body)
	}
	if again := invited(t, kms, "ada@example.com", "member"); string(again.object(t)["completeInviteLinks"]) != "[]" {
		t.Errorf("who has a password gets no link: %s", again.body)
	}
	k.as(ada).want(403, "POST", invitePath, fields{"inviteeEmails": []string{"eve@example.com"}, "organizationId": kms.OrgID})
	k.as(ada).want(403, "GET", organizationsPath, nil)
	k.as(ada).want(403, "POST", organizationsPath, fields{"name": "mine"})
	// A link that nobody followed for 72 hours is over.
	late := linkToken(t, kms, invited(t, kms, "bob@example.com", "member"))
	clock.Advance(72*time.Hour + time.Second)
	k.want(401, "POST", passwordPath, fields{"token": late, "password": "bob@example.combob@example.com"})
	person(t, kms, invited(t, kms, "bob@example.com", "member"))
	for name, bad := range map[string]fields{"nobody": {"inviteeEmails": []string{}}, "no address": {"inviteeEmails": []string{"bob"}}, "no role": {"inviteeEmails": []string{"c@example.com"}, "organizationRoleSlug": "king"}} {
		bad["organizationId"] = kms.OrgID
		if got := k.as(kms.Token.Reveal()).send("POST", invitePath, bad); got.status != 400 {
			t.Errorf("%s: status %d: %s", name, got.status, got.body)
		}
	}
}

// Whoever could get a second link for a person whom another organisation has
// invited would become that person there.
func TestAnotherOrganizationCannotTakeAnInvitedPersonOver(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	root := knock(t, kms, kms.Token.Reveal())
	ada := linkToken(t, kms, invited(t, kms, "ada@example.com", "admin"))
	lux := knock(t, kms, person(t, kms, root.want(200, "POST", organizationsPath, fields{"name": "lux", "inviteAdminEmails": []string{"lux@example.com"}})))
	got := lux.want(400, "POST", invitePath, fields{"inviteeEmails": []string{"ada@example.com"}})
	if strings.Contains(got.body, "token=") {
		t.Errorf("a link for another organization's person: %s", got.body)
	}
	root.as("").want(200, "POST", passwordPath, fields{"token": ada, "password": "ada@example.comada@example.com"})
	if got := lux.want(200, "POST", invitePath, fields{"inviteeEmails": []string{"ada@example.com"}}); string(got.object(t)["completeInviteLinks"]) != "[]" {
		t.Errorf("a link for a person who has a password: %s", got.body)
	}
	lux.want(400, "POST", invitePath, fields{"inviteeEmails": []string{"lux@example.com"}, "organizationRoleSlug": "member"}) // or the last admin is gone
	lux.want(404, "GET", "/api/v1/organization/"+kms.OrgID+"/memberships", nil)
	lux.want(404, "POST", invitePath, fields{"inviteeEmails": []string{"spy@example.com"}, "organizationId": kms.OrgID})
}

// setPassword gives a person another password as a link does, at the server's
// own time.
func setPassword(t *testing.T, kms *kmstest.Server, clock *kmstest.Clock, email string) {
	t.Helper()
	ctx := context.Background()
	err := kms.Store().Update(ctx, func(tx *store.Tx) error {
		u, err := tx.UserByEmail(ctx, email)
		if err != nil {
			return err
		}
		return tx.SetPassword(ctx, u.ID, u.PasswordHash, clock.Now().UnixMicro())
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestANewPasswordEndsAllSessions(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		var clock kmstest.Clock
		kms := kmstest.New(t, kmstest.Options{Engine: engine, Clock: &clock})
		k := knock(t, kms, "")
		ada := person(t, kms, invited(t, kms, "ada@example.com", "member")) // within the second of the link
		k.as(ada).want(200, "GET", "/api/v1/user", nil)
		renewed := k.want(200, "POST", renewPath, fields{"accessToken": ada}).text(t, "accessToken")
		setPassword(t, kms, &clock, "ada@example.com")
		second := userLogin(t, kms, "ada@example.com")
		clock.Advance(2 * time.Second)
		setPassword(t, kms, &clock, "ada@example.com")
		for _, old := range []string{ada, renewed, second} {
			k.as(old).want(401, "GET", "/api/v1/user", nil)
			k.want(401, "POST", renewPath, fields{"accessToken": old})
		}
		fresh := userLogin(t, kms, "ada@example.com")
		k.as(fresh).want(200, "GET", "/api/v1/user", nil)
		clock.Advance(10*time.Hour - 5*time.Second)
		fresh = k.want(200, "POST", renewPath, fields{"accessToken": fresh}).text(t, "accessToken")
		clock.Advance(10 * time.Hour)
		k.as(fresh).want(401, "GET", "/api/v1/user", nil)
	})
}

// A session that began and a password that was set within one second: the
// token tells whole seconds, and must not outlive the password for that.
func TestASessionOfTheSameSecondEndsToo(t *testing.T) {
	t.Parallel()
	var clock kmstest.Clock
	kms := kmstest.New(t, kmstest.Options{Clock: &clock})
	person(t, kms, invited(t, kms, "ada@example.com", "member"))
	clock.Advance(10 * time.Second)
	clock.Advance(-time.Duration(clock.Now().Nanosecond())) // the beginning of a second
	session, began := userLogin(t, kms, "ada@example.com"), clock.Now()
	clock.Advance(began.Truncate(time.Second).Add(900 * time.Millisecond).Sub(clock.Now()))
	setPassword(t, kms, &clock, "ada@example.com")
	knock(t, kms, session).want(401, "GET", "/api/v1/user", nil)
}

func TestGuessingAPasswordIsLockedAndTellsNobodyWhoIsThere(t *testing.T) {
	t.Parallel()
	var clock kmstest.Clock
	kms := kmstest.New(t, behindProxy(kmstest.SQLite, &clock))
	person(t, kms, invited(t, kms, "ada@example.com", "member"))
	k := knock(t, kms, "")
	guess := func(from, email string) (statuses []int, messages []string) {
		k.from = from
		for range 4 {
			got := k.send("POST", userLoginPath, fields{"email": email, "password": "not the password"})
			statuses, messages = append(statuses, got.status), append(messages, got.message(t))
		}
		return statuses, messages
	}
	unknown, unknownSay := guess("203.0.113.1", "eve@example.com")
	sameStatuses(t, "an address that nobody has", unknown, 401, 401, 401, 429)
	known, knownSay := guess("203.0.113.1", "ada@example.com") // from the same source: nothing else is locked
	sameStatuses(t, "a wrong password", known, unknown...)
	if diff := cmp.Diff(unknownSay, knownSay); diff != "" {
		t.Errorf("the answers tell who is there (-unknown +known):\n%s", diff)
	}
	right := fields{"email": "Ada@Example.com", "password": "ada@example.comada@example.com"}
	if got := k.want(429, "POST", userLoginPath, right); got.header.Get("Retry-After") == "" {
		t.Error("a lockout without Retry-After")
	}
	k.from = "203.0.113.2"
	k.want(200, "POST", userLoginPath, right)
	k.from = "203.0.113.1"
	clock.Advance(301 * time.Second)
	k.want(200, "POST", userLoginPath, right)
	for name, bad := range map[string]fields{"nothing": {}, "nulls": {"email": nil, "password": nil}, "no password": {"email": "ada@example.com"}, "no address": {"email": "ada", "password": "not the password"}} {
		if got := k.send("POST", userLoginPath, bad); got.status != 400 {
			t.Errorf("%s: status %d: %s", name, got.status, got.body)
		}
	}
	page, err := kms.Admin().AuditLogs(context.Background(), sdk.AuditQuery{EventType: "user-login-failed"})
	if err != nil || len(page.Logs) < 6 {
		t.Errorf("wrong passwords are not on record: %d, %v", len(page.Logs), err)
	}
	for _, log := range page.Logs {
		if strings.Contains(fmt.Sprint(log), "not the password") {
			t.Errorf("the trail holds a password: %+v", log)
		}
	}
}

func TestWhoLeavesTheOrganizationLeavesItsProjects(t *testing.T) {
	t.Parallel()
	kms, project, _ := shop(t, kmstest.Options{}, sdk.UniversalAuthInput{})
	root := knock(t, kms, kms.Token.Reveal())
	ada := root.as(person(t, kms, invited(t, kms, "ada@example.com", "no-access")))
	dev := "/api/v3/secrets/raw?workspaceId=" + project.ID + "&environment=dev"
	ada.want(403, "GET", dev, nil)
	root.want(200, "POST", "/api/v2/workspace/"+project.ID+"/memberships", fields{"emails": []string{"ada@example.com"}, "roleSlugs": []string{"member"}})
	ada.want(200, "GET", dev, nil)
	id := ada.want(200, "GET", "/api/v1/user", nil).text(t, "user", "id")
	members := "/api/v1/organization/" + kms.OrgID + "/memberships/"
	ada.want(403, "DELETE", members+id, nil)
	root.want(200, "DELETE", members+id, nil)
	ada.want(404, "GET", dev, nil)
	secret := kms.Value()
	if got := root.want(404, "DELETE", members+url.PathEscape(secret[:7]), nil); strings.Contains(got.body, secret[:7]) {
		t.Errorf("the refusal repeats what was sent: %s", got.body)
	}
	root.want(404, "DELETE", members+id, nil)
	root.want(200, "POST", invitePath, fields{"inviteeEmails": []string{"ada@example.com"}, "organizationId": kms.OrgID})
	ada.want(403, "GET", dev, nil) // back in the organization, not in the project
}
