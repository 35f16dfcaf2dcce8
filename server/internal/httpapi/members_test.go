package httpapi_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
)

// tries does the four things one can do to a secret of an environment and
// gives the statuses: read, create, update, delete. An admin makes what it
// needs and clears away what it leaves.
func tries(t *testing.T, admin, k knocker, project api.Project, environment string) string {
	t.Helper()
	scope := fields{"workspaceId": project.ID, "environment": environment}
	with := func(more fields) fields {
		for name, value := range scope {
			more[name] = value
		}
		return more
	}
	const raw = "/api/v3/secrets/raw/"
	for _, key := range []string{"READ", "UPDATE", "DELETE"} {
		admin.send("POST", raw+key, with(fields{"secretValue": "v"}))
	}
	var b strings.Builder
	for _, try := range []struct {
		letter string
		got    reply
	}{
		{"r", k.send("GET", raw+"READ?workspaceId="+project.ID+"&environment="+environment, nil)},
		{"c", k.send("POST", raw+"CREATE", with(fields{"secretValue": "v"}))},
		{"u", k.send("PATCH", raw+"UPDATE", with(fields{"secretValue": "w"}))},
		{"d", k.send("DELETE", raw+"DELETE", with(fields{}))},
	} {
		switch try.got.status {
		case 200:
			b.WriteString(try.letter)
		case 403:
			b.WriteString("-")
		default:
			t.Errorf("%s in %s: status %d: %s", try.letter, environment, try.got.status, try.got.body)
		}
	}
	admin.send("DELETE", raw+"CREATE", with(fields{}))
	return b.String()
}

// projectPerson is a person of the organisation with a role in a project.
func projectPerson(t *testing.T, kms *kmstest.Server, project api.Project, email, role string) string {
	t.Helper()
	token := person(t, kms, invited(t, kms, email, "no-access"))
	if role != "" {
		knock(t, kms, kms.Token.Reveal()).want(200, "POST", "/api/v2/workspace/"+project.ID+"/memberships", fields{"emails": []string{email}, "roleSlugs": []string{role}})
	}
	return token
}

func TestBuiltInRolesOfPeopleAndMachines(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	project := kms.Project("shop")
	admin := knock(t, kms, kms.Token.Reveal())
	for _, row := range []struct{ role, machineDev, machineProd, personDev, personProd string }{
		{"admin", "rcud", "rcud", "rcud", "rcud"},
		{"member", "rcud", "rcud", "rcud", "----"},
		{"viewer", "r---", "r---", "r---", "----"},
		{"no-access", "----", "----", "----", "----"},
		{"", "----", "----", "----", "----"}, // no member at all
	} {
		machine := admin.as(token(t, kms, kms.Identity(project, row.role)))
		human := admin.as(projectPerson(t, kms, project, "p"+row.role+"@example.com", row.role))
		for _, try := range []struct {
			who               string
			k                 knocker
			environment, want string
		}{
			{"a machine", machine, "dev", row.machineDev}, {"a machine", machine, "prod", row.machineProd}, {"a machine", machine, "production", row.machineProd},
			{"a person", human, "dev", row.personDev}, {"a person", human, "staging", row.personDev}, {"a person", human, "prod", row.personProd}, {"a person", human, "production", row.personProd},
		} {
			if got := tries(t, admin, try.k, project, try.environment); got != try.want {
				t.Errorf("%s who is %q may %s in %s, want %s", try.who, row.role, got, try.environment, try.want)
			}
		}
	}
}

// A level is a ceiling on people; opening it, or a role that names the
// environment, lets them in.
func TestAccessLevelsOverTheWire(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	project := kms.Project("shop")
	admin := knock(t, kms, kms.Token.Reveal())
	member := projectPerson(t, kms, project, "ada@example.com", "member")
	named := customRole(t, admin, project, "prod-readers", api.Rule{Actions: []string{"secrets:read"}, Environments: []string{"prod"}})
	everywhere := customRole(t, admin, project, "readers", api.Rule{Actions: []string{"secrets:read"}})
	reader, all := projectPerson(t, kms, project, "bob@example.com", named), projectPerson(t, kms, project, "eve@example.com", everywhere)
	check := func(what, token, environment, want string) {
		t.Helper()
		if got := tries(t, admin, admin.as(token), project, environment); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	check("a member in prod", member, "prod", "----")
	check("a role that names prod", reader, "prod", "r---")
	check("by its other slug", reader, "production", "r---")
	check("a role that names prod, in dev", reader, "dev", "----")
	check("a role for all environments, in dev", all, "dev", "r---")
	check("a role for all environments, in prod", all, "prod", "----")
	for _, e := range project.Environments {
		if e.Slug == "prod" {
			admin.want(200, "PATCH", "/api/v1/workspace/"+project.ID+"/environments/"+e.ID, fields{"accessLevel": "open"})
		}
	}
	check("a member in an open prod", member, "prod", "rcud")
}

// customRole makes a custom role and gives its slug.
func customRole(t *testing.T, k knocker, project api.Project, slug string, rules ...api.Rule) string {
	t.Helper()
	return k.want(200, "POST", "/api/v1/workspace/"+project.ID+"/roles", fields{"slug": slug, "permissions": rules}).text(t, "role", "slug")
}

func TestCustomRolesByEnvironmentPathAndKey(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	project := kms.Project("shop")
	for _, environment := range []string{"dev", "staging", "prod"} {
		for _, folder := range []string{"payments", "payments/eu", "search"} {
			kms.Put(project, environment, "/", "DB_URL", "v", "API_KEY", "v")
			makeFolders(t, kms, project, environment, folder)
			kms.Put(project, environment, "/"+folder, "DB_URL", "v", "API_KEY", "v")
		}
	}
	admin := knock(t, kms, kms.Token.Reveal())
	for i, row := range []struct {
		name string
		rule api.Rule
		may  []string // environment, folder and key
		not  []string
	}{
		{"one environment", api.Rule{Environments: []string{"dev"}}, []string{"dev / DB_URL", "dev /search API_KEY"}, []string{"staging / DB_URL", "prod / DB_URL"}},
		{"an environment by its other slug", api.Rule{Environments: []string{"production"}}, []string{"prod / DB_URL"}, []string{"dev / DB_URL"}},
		{"a pattern of environments", api.Rule{Environments: []string{"*d*v*", "st*"}}, []string{"dev / DB_URL", "staging / DB_URL"}, []string{"prod / DB_URL"}},
		{"one folder", api.Rule{Paths: []string{"/payments"}}, []string{"prod /payments DB_URL"}, []string{"prod /payments/eu DB_URL", "prod / DB_URL", "prod /search DB_URL"}},
		{"the folders in one", api.Rule{Paths: []string{"/payments/*"}}, []string{"prod /payments/eu DB_URL"}, []string{"prod /payments DB_URL", "prod / DB_URL"}},
		{"a folder and all below", api.Rule{Paths: []string{"/payments/**"}}, []string{"prod /payments DB_URL", "prod /payments/eu API_KEY"}, []string{"prod / DB_URL", "prod /search DB_URL"}},
		{"keys", api.Rule{Keys: []string{"DB_*"}}, []string{"prod / DB_URL", "prod /search DB_URL"}, []string{"prod / API_KEY"}},
		{"all three", api.Rule{Environments: []string{"prod"}, Paths: []string{"/payments"}, Keys: []string{"API_KEY"}}, []string{"prod /payments API_KEY"}, []string{"prod /payments DB_URL", "dev /payments API_KEY", "prod /search API_KEY"}},
	} {
		row.rule.Actions = []string{"secrets:read"}
		slug := customRole(t, admin, project, "role-"+string(rune('a'+i)), row.rule)
		k := admin.as(token(t, kms, kms.Identity(project, slug)))
		for status, places := range map[int][]string{200: row.may, 403: row.not} {
			for _, place := range places {
				part := strings.Fields(place)
				got := k.send("GET", "/api/v3/secrets/raw/"+part[2]+"?workspaceId="+project.ID+"&environment="+part[0]+"&secretPath="+part[1], nil)
				if got.status != status {
					t.Errorf("%s: %s: status %d, want %d: %s", row.name, place, got.status, status, got.body)
				}
			}
		}
		// What is not there is refused like what is, or a refusal would tell.
		part := strings.Fields(row.not[0])
		k.want(403, "GET", "/api/v3/secrets/raw/NOT_THERE?workspaceId="+project.ID+"&environment="+part[0]+"&secretPath="+part[1], nil)
	}
	for name, bad := range map[string]fields{
		"no slug": {"permissions": []api.Rule{{Actions: []string{"secrets:read"}}}}, "no rules": {"slug": "x"}, "a built-in slug": {"slug": "viewer", "permissions": []api.Rule{}},
		"an unknown action": {"slug": "x", "permissions": []api.Rule{{Actions: []string{"secrets:steal"}}}}, "no action": {"slug": "x", "permissions": []api.Rule{{}}},
		"a pattern that matches nothing": {"slug": "x", "permissions": []api.Rule{{Actions: []string{"secrets:read"}, Paths: []string{"payments"}}}},
		"a taken slug":                   {"slug": "role-a", "permissions": []api.Rule{}},
	} {
		if got := admin.send("POST", "/api/v1/workspace/"+project.ID+"/roles", bad); got.status != 400 {
			t.Errorf("%s: status %d: %s", name, got.status, got.body)
		}
	}
}

func makeFolders(t *testing.T, kms *kmstest.Server, project api.Project, environment, path string) {
	t.Helper()
	parent, name := "/", path
	if cut := strings.LastIndexByte(path, '/'); cut >= 0 {
		parent, name = "/"+path[:cut], path[cut+1:]
	}
	scope := sdk.Scope{ProjectID: project.ID, Environment: environment, SecretPath: parent}
	if _, err := kms.Admin().CreateFolder(context.Background(), scope, name, ""); err != nil {
		t.Fatal(err)
	}
}

func TestATemporaryRoleEndsByTheClock(t *testing.T) {
	t.Parallel()
	var clock kmstest.Clock
	kms := kmstest.New(t, kmstest.Options{Clock: &clock})
	project := kms.Project("shop")
	c := kms.Identity(project, "")
	admin := knock(t, kms, kms.Token.Reveal())
	k := admin.as(token(t, kms, c))
	member := "/api/v2/workspace/" + project.ID + "/identity-memberships/" + c.IdentityID
	clock.Advance(time.Minute) // the range begins by the server's time
	got := admin.want(200, "POST", member, fields{"roles": []fields{{"role": "viewer"}, {"role": "admin", "isTemporary": true, "temporaryMode": "relative", "temporaryRange": "1h"}}})
	if !strings.Contains(got.body, `"temporaryAccessEndTime"`) {
		t.Errorf("the answer does not say when it ends: %s", got.body)
	}
	check := func(when, want string) {
		t.Helper()
		if may := tries(t, admin, k, project, "prod"); may != want {
			t.Errorf("%s: %s, want %s", when, may, want)
		}
	}
	check("at once", "rcud")
	clock.Advance(time.Hour - 10*time.Second)
	check("shortly before its end", "rcud")
	clock.Advance(20 * time.Second)
	check("after its end", "r---")
	for name, role := range map[string]fields{
		"over already":    {"role": "viewer", "isTemporary": true, "temporaryAccessEndTime": "2020-01-01T00:00:00Z"},
		"no length":       {"role": "viewer", "isTemporary": true},
		"a negative one":  {"role": "viewer", "isTemporary": true, "temporaryRange": "-1h"},
		"no time":         {"role": "viewer", "isTemporary": true, "temporaryAccessEndTime": "tomorrow"},
		"no role in it":   {"isTemporary": false},
		"an unknown role": {"role": "emperor"},
	} {
		if got := admin.send("PATCH", member, fields{"roles": []fields{role}}); got.status != 400 && got.status != 404 {
			t.Errorf("%s: status %d: %s", name, got.status, got.body)
		}
	}
	admin.want(400, "PATCH", member, fields{"roles": []fields{}})
}

// Nobody gives what he does not hold, nor takes it from who holds more.
func TestNobodyGivesWhatHeDoesNotHold(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	project := kms.Project("shop")
	kms.Put(project, "prod", "/", "DB_URL", "v")
	root := knock(t, kms, kms.Token.Reveal())
	in := "/api/v2/workspace/" + project.ID + "/identity-memberships/"
	roles := "/api/v1/workspace/" + project.ID + "/roles"
	readDev := api.Rule{Actions: []string{"secrets:read"}, Environments: []string{"dev"}}
	readAll := api.Rule{Actions: []string{"secrets:read"}}
	manage := api.Rule{Actions: []string{"members:read", "members:manage", "roles:read", "roles:manage"}}
	write := api.Rule{Actions: []string{"secrets:create", "secrets:edit"}, Environments: []string{"dev"}}
	lead := root.as(token(t, kms, kms.Identity(project, customRole(t, root, project, "dev-lead", manage, readDev, write))))
	strong := customRole(t, root, project, "all-readers", readAll)
	free, stronger := kms.Identity(project, ""), kms.Identity(project, strong)
	chief := kms.Identity(project, "admin")

	for _, row := range []struct {
		name, method, path string
		body               any
		status             int
	}{
		{"gives admin", "POST", in + free.IdentityID, fields{"role": "admin"}, 403},
		{"gives viewer, which reads prod", "POST", in + free.IdentityID, fields{"role": "viewer"}, 403},
		{"gives a custom role that reads prod", "POST", in + free.IdentityID, fields{"role": strong}, 403},
		{"gives it for an hour", "POST", in + free.IdentityID, fields{"roles": []fields{{"role": strong, "isTemporary": true, "temporaryRange": "1h"}}}, 403},
		{"gives his own beside a stronger one", "POST", in + free.IdentityID, fields{"roles": []fields{{"role": "dev-lead"}, {"role": "viewer"}}}, 403},
		{"gives nothing", "POST", in + free.IdentityID, fields{"role": "no-access"}, 200},
		{"gives his own role", "PATCH", in + free.IdentityID, fields{"role": "dev-lead"}, 200},
		{"lifts one who has it", "PATCH", in + free.IdentityID, fields{"role": "viewer"}, 403},
		{"lifts himself", "PATCH", in + mine(t, lead), fields{"role": "admin"}, 403},
		{"weakens a stronger member", "PATCH", in + stronger.IdentityID, fields{"role": "no-access"}, 403},
		{"removes a stronger member", "DELETE", in + stronger.IdentityID, nil, 403},
		{"removes an admin", "DELETE", in + chief.IdentityID, nil, 403},
		{"removes one of his own strength", "DELETE", in + free.IdentityID, nil, 200},
		{"defines a role that reads prod", "POST", roles, fields{"slug": "x", "permissions": []api.Rule{{Actions: []string{"secrets:read"}, Environments: []string{"prod"}}}}, 403},
		{"defines one for environments to come", "POST", roles, fields{"slug": "x", "permissions": []api.Rule{{Actions: []string{"secrets:read"}, Environments: []string{"d*"}}}}, 403},
		{"defines one that deletes", "POST", roles, fields{"slug": "x", "permissions": []api.Rule{{Actions: []string{"secrets:delete"}, Environments: []string{"dev"}}}}, 403},
		{"defines one that deletes the project", "POST", roles, fields{"slug": "x", "permissions": []api.Rule{{Actions: []string{"project:delete"}}}}, 403},
		{"defines a part of his own", "POST", roles, fields{"slug": "some-keys", "permissions": []api.Rule{{Actions: []string{"secrets:read"}, Environments: []string{"dev"}, Keys: []string{"DB_*"}}}}, 200},
		{"widens his own role", "PATCH", roles + "/dev-lead", fields{"permissions": []api.Rule{manage, readAll}}, 403},
		{"narrows a stronger role", "PATCH", roles + "/" + strong, fields{"permissions": []api.Rule{readDev}}, 403},
		{"renames a stronger role", "PATCH", roles + "/" + strong, fields{"slug": "gone"}, 403},
		{"deletes a stronger role", "DELETE", roles + "/" + strong, nil, 403},
		{"deletes a role of his own strength", "DELETE", roles + "/some-keys", nil, 200},
		{"makes credentials for a stronger one", "POST", uaPath + stronger.IdentityID + "/client-secrets", fields{}, 403},
		{"makes credentials for himself", "POST", uaPath + mine(t, lead) + "/client-secrets", fields{}, 403}, // only admins of the organization issue
		{"refers to a secret that he cannot read", "POST", "/api/v3/secrets/raw/SPY", fields{"workspaceId": project.ID, "environment": "dev", "secretValue": "${prod.DB_URL}"}, 403},
		{"refers to one that he can read", "POST", "/api/v3/secrets/raw/FINE", fields{"workspaceId": project.ID, "environment": "dev", "secretValue": "${SPY}"}, 200},
		{"makes an identity", "POST", identitiesPath, fields{"name": "spy"}, 403},
		{"makes an organization", "POST", organizationsPath, fields{"name": "spy"}, 403},
	} {
		if got := lead.send(row.method, row.path, row.body); got.status != row.status {
			t.Errorf("a lead of dev %s: status %d, want %d: %s", row.name, got.status, row.status, got.body)
		}
	}
	if got := tries(t, root, root.as(token(t, kms, stronger)), project, "prod"); got != "r---" {
		t.Errorf("after all that the stronger member may %s", got)
	}
	// An admin of the organisation is not one of the instance.
	orgAdmin := root.as(person(t, kms, invited(t, kms, "ada@example.com", "admin")))
	instance := root.want(200, "GET", "/api/v1/user", nil).text(t, "identity", "id")
	for _, path := range []string{uaPath + instance, identitiesPath + "/" + instance} {
		orgAdmin.want(403, map[bool]string{true: "POST", false: "DELETE"}[path == uaPath+instance], path, fields{})
	}
	orgAdmin.want(403, "POST", organizationsPath, fields{"name": "spy"})
	orgAdmin.want(200, "POST", uaPath+stronger.IdentityID+"/client-secrets", fields{})
}

func mine(t *testing.T, k knocker) string {
	t.Helper()
	return k.want(200, "GET", "/api/v1/user", nil).text(t, "identity", "id")
}

// Memberships name roles by slug: neither a new slug nor a deleted role may
// leave members with a name under which something else is made later.
func TestMembersKeepARoleThatIsRenamedAndLoseOneThatIsDeleted(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		kms := kmstest.New(t, kmstest.Options{Engine: engine})
		project := kms.Project("shop")
		admin := knock(t, kms, kms.Token.Reveal())
		roles := "/api/v1/workspace/" + project.ID + "/roles"
		readDev := api.Rule{Actions: []string{"secrets:read"}, Environments: []string{"dev"}}
		k := admin.as(token(t, kms, kms.Identity(project, customRole(t, admin, project, "readers", readDev))))
		check := func(when, want string) {
			t.Helper()
			if got := tries(t, admin, k, project, "dev"); got != want {
				t.Errorf("%s: %s, want %s", when, got, want)
			}
		}
		check("at first", "r---")
		admin.want(200, "PATCH", roles+"/readers", fields{"slug": "dev-readers"})
		check("renamed", "r---")
		customRole(t, admin, project, "readers", api.Rule{Actions: []string{"secrets:read", "secrets:delete"}})
		check("another role has the old name", "r---")
		admin.want(200, "DELETE", roles+"/dev-readers", nil)
		check("deleted", "----")
		customRole(t, admin, project, "dev-readers", readDev)
		check("another role has its name", "----")
	})
}

// A stolen identity opens its one project, and nothing beside it.
func TestAnIdentityOpensItsOneProjectOnly(t *testing.T) {
	t.Parallel()
	kms, _, c := shop(t, kmstest.Options{}, sdk.UniversalAuthInput{})
	stock := kms.Project("stock")
	kms.Put(stock, "prod", "/", "DB_URL", kms.Value())
	k := knock(t, kms, token(t, kms, c))
	k.want(200, "GET", shopList, nil)
	for _, path := range []string{"/api/v3/secrets/raw?workspaceSlug=stock&environment=prod", "/api/v3/secrets/raw/DB_URL?workspaceId=" + stock.ID + "&environment=prod",
		"/api/v4/secrets?projectId=" + stock.ID + "&environment=dev", "/api/v2/workspace/stock", "/api/v1/folders?workspaceId=" + stock.ID + "&environment=prod",
		"/api/v1/workspace/" + stock.ID + "/audit-logs", identitiesPath, "/api/v1/audit-logs"} {
		k.want(403, "GET", path, nil)
	}
	if got := k.want(200, "GET", "/api/v1/workspace", nil); strings.Contains(got.body, stock.ID) {
		t.Errorf("the other project is listed: %s", got.body)
	}
	k.want(200, "GET", "/v1/kms/secrets/DB_URL?env=prod", nil) // the token implies the project
}
