package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/internal/httpapi"
	"github.com/hanzoai/kms/server/internal/store"
	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

// shop is a server with one project and a viewer in it.
type shop struct {
	*kmstest.Server
	project api.Project
	viewer  kmstest.Credentials
	client  *sdk.Client // of the viewer, logged in
	scope   sdk.Scope
}

func newShop(t *testing.T, options kmstest.Options) *shop {
	t.Helper()
	s := &shop{Server: kmstest.New(t, options)}
	s.project = s.Project("shop")
	s.viewer = s.Identity(s.project, "viewer")
	s.client = s.Client(s.viewer)
	s.scope = sdk.Scope{ProjectID: s.project.ID, Environment: "prod"}
	s.Put(s.project, "prod", "/", "A", "1", "B", "2")
	if _, err := s.client.Get(t.Context(), s.scope, "A", sdk.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// get is a plain request with headers given in pairs.
func (s *shop) get(t *testing.T, token, target string, headers ...string) (status int, body string, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Header
}

// record is what a row of the trail says, but for ids and times.
type record struct {
	Action, Event, Outcome, Reason, Actor, Project, Environment, Path string
	Keys                                                              []string // "env:path:key@version"
}

func (s *shop) records(t *testing.T, all []store.AuditRow) (records []record) {
	t.Helper()
	for _, row := range all {
		r := record{row.Action, row.Event, row.Outcome, row.Reason, row.ActorName, row.ProjectSlug, row.Environment, row.Path, nil}
		err := s.Store().View(t.Context(), func(tx *store.Tx) error {
			items, err := tx.ManifestItems(t.Context(), store.Day(row.CreatedAt), row.Manifest)
			for _, i := range items {
				r.Keys = append(r.Keys, fmt.Sprintf("%s:%s:%s@%d", i.Environment, i.Path, i.Key, i.Version))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if row.Manifest == nil && row.SecretKey != "" {
			r.Keys = []string{fmt.Sprintf("%s:%s:%s@%d", row.Environment, row.Path, row.SecretKey, row.SecretVersion)}
		}
		if row.RequestID == "" || row.IP != "127.0.0.1" || row.UserAgent == "" || time.Since(time.UnixMicro(row.CreatedAt)).Abs() > time.Minute || row.Repeats != 1 {
			t.Errorf("the row of %s has request %q, address %q, agent %q, time %d, repeats %d", row.Event, row.RequestID, row.IP, row.UserAgent, row.CreatedAt, row.Repeats)
		}
		records = append(records, r)
	}
	return records
}

func TestEveryRequestWritesExactlyOneRecordOfWhatItDid(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		s := newShop(t, kmstest.Options{Engine: engine})
		ctx, admin := t.Context(), s.Admin()
		me, err := adminName(s)
		if err != nil {
			t.Fatal(err)
		}
		viewer := "shop-service"
		value, multi := s.Value(), "x ${staging.deep.REF} ${A}"
		staging := sdk.Scope{ProjectID: s.project.ID, Environment: "staging", SecretPath: "/deep"}
		if _, err := admin.CreateFolder(ctx, sdk.Scope{ProjectID: s.project.ID, Environment: "staging"}, "deep", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.Create(ctx, staging, sdk.SecretInput{Key: "REF", Value: &value}); err != nil {
			t.Fatal(err)
		}
		list := sdk.ListSecretsOptions{ProjectID: s.project.ID, Environment: "production"}
		var etag string
		tests := []struct {
			name   string
			action func() error
			err    error
			want   []record
		}{
			{"a list names all that it disclosed", func() error {
				result, err := s.client.List(ctx, list)
				etag = result.ETag
				return err
			}, nil, []record{{"read", "get-secrets", "success", "", viewer, "shop", "prod", "/", []string{"prod:/:A@1", "prod:/:B@1"}}}},
			{"an answer of 304 disclosed nothing", func() error {
				conditional := list
				conditional.IfNoneMatch = etag
				result, err := s.client.List(ctx, conditional)
				if err == nil && !result.NotModified {
					err = errors.New("modified")
				}
				return err
			}, nil, nil},
			{"one secret", func() error { _, err := s.client.Get(ctx, s.scope, "A", sdk.GetOptions{}); return err }, nil,
				[]record{{"read", "get-secret", "success", "", viewer, "shop", "prod", "/", []string{"prod:/:A@1"}}}},
			{"a secret that is not there", func() error { _, err := s.client.Get(ctx, s.scope, "NONE", sdk.GetOptions{}); return err }, api.ErrNotFound,
				[]record{{"read", "get-secret", "failed", "not_found", viewer, "shop", "prod", "/", []string{"prod:/:NONE@0"}}}},
			{"an environment that is not there", func() error {
				_, err := s.client.Get(ctx, sdk.Scope{ProjectID: s.project.ID, Environment: "nowhere"}, "A", sdk.GetOptions{})
				return err
			}, api.ErrNotFound, []record{{"read", "get-secret", "failed", "not_found", viewer, "shop", "nowhere", "/", []string{"nowhere:/:A@0"}}}},
			{"a project that is not there", func() error {
				_, err := s.client.Get(ctx, sdk.Scope{ProjectSlug: "nothing", Environment: "dev"}, "A", sdk.GetOptions{})
				return err
			}, api.ErrNotFound, []record{{"read", "get-secret", "failed", "not_found", viewer, "", "", "", []string{"::A@0"}}}},
			{"a viewer who creates", func() error {
				_, err := s.client.Create(ctx, s.scope, sdk.SecretInput{Key: "C", Value: &value})
				return err
			}, api.ErrDenied, []record{{"create", "create-secret", "denied", "denied", viewer, "shop", "prod", "/", []string{"prod:/:C@0"}}}},
			{"a viewer who deletes", func() error { _, err := s.client.Delete(ctx, s.scope, "A"); return err }, api.ErrDenied,
				[]record{{"delete", "delete-secret", "denied", "denied", viewer, "shop", "prod", "/", []string{"prod:/:A@0"}}}},
			{"a secret is made", func() error {
				_, err := admin.Create(ctx, s.scope, sdk.SecretInput{Key: "C", Value: &multi})
				return err
			}, nil, []record{{"create", "create-secret", "success", "", me, "shop", "prod", "/", []string{"prod:/:C@1"}}}},
			{"a secret is made twice", func() error {
				_, err := admin.Create(ctx, s.scope, sdk.SecretInput{Key: "C", Value: &value})
				return err
			}, api.ErrExists, []record{{"create", "create-secret", "failed", "exists", me, "shop", "prod", "/", []string{"prod:/:C@0"}}}},
			{"a secret with references names those too", func() error { _, err := s.client.Get(ctx, s.scope, "C", sdk.GetOptions{}); return err }, nil,
				[]record{{"read", "get-secret", "success", "", viewer, "shop", "prod", "/", []string{"prod:/:C@1", "prod:/:A@1", "staging:/deep:REF@1"}}}},
			{"without them it does not", func() error {
				no := false
				_, err := s.client.Get(ctx, s.scope, "C", sdk.GetOptions{ExpandReferences: &no})
				return err
			}, nil, []record{{"read", "get-secret", "success", "", viewer, "shop", "prod", "/", []string{"prod:/:C@1"}}}},
			{"a secret is changed", func() error {
				_, err := admin.Update(ctx, s.scope, sdk.SecretInput{Key: "A", Value: &value})
				return err
			}, nil, []record{{"update", "update-secret", "success", "", me, "shop", "prod", "/", []string{"prod:/:A@2"}}}},
			{"an old version is read", func() error { _, err := s.client.Get(ctx, s.scope, "A", sdk.GetOptions{Version: 1}); return err }, nil,
				[]record{{"read", "get-secret", "success", "", viewer, "shop", "prod", "/", []string{"prod:/:A@1"}}}},
			{"several are changed at once", func() error {
				_, err := admin.UpdateBatch(ctx, s.scope, sdk.Upsert, []sdk.SecretInput{{Key: "B", Value: &value}, {Key: "D", Value: &value}})
				return err
			}, nil, []record{{"update", "update-secrets", "success", "", me, "shop", "prod", "/", []string{"prod:/:B@2", "prod:/:D@1"}}}},
			{"several are deleted at once", func() error { _, err := admin.DeleteBatch(ctx, s.scope, []string{"C", "D"}); return err }, nil,
				[]record{{"delete", "delete-secrets", "success", "", me, "shop", "prod", "/", []string{"prod:/:C@1", "prod:/:D@1"}}}},
			{"a secret is deleted", func() error { _, err := admin.Delete(ctx, s.scope, "B"); return err }, nil,
				[]record{{"delete", "delete-secret", "success", "", me, "shop", "prod", "/", []string{"prod:/:B@2"}}}},
			{"a folder is made", func() error { _, err := admin.CreateFolder(ctx, s.scope, "sub", ""); return err }, nil,
				[]record{{"create", "create-folder", "success", "", me, "shop", "prod", "/sub", nil}}},
			{"an identity gets a role", func() error {
				_, err := admin.UpdateIdentityInProject(ctx, s.project.ID, s.viewer.IdentityID, api.MembershipRole{Role: "viewer"})
				return err
			}, nil, []record{{"update", "update-project-member", "success", "", me, "shop", "", "", nil}}},
			{"a token is renewed", func() error { return s.client.Renew(ctx) }, nil,
				[]record{{"login", "renew-identity-access-token", "success", "", viewer, "", "", "", nil}}},
			{"a login", func() error { return s.Client(s.viewer).Login(ctx) }, nil,
				[]record{{"login", "login-identity-universal-auth", "success", "", viewer, "", "", "", nil}}},
			{"a failed login", func() error {
				wrong := s.viewer
				wrong.ClientSecret = "st.wrong"
				return s.Client(wrong).Login(ctx)
			}, api.ErrUnauthenticated, []record{{"login", "login-identity-universal-auth-failed", "denied", "unauthenticated", viewer, "", "", "", nil}}},
			{"nobody asks", func() error { _, err := s.WithToken("garbage").ListProjects(ctx); return err }, api.ErrUnauthenticated,
				[]record{{"read", "get-projects", "denied", "unauthenticated", "", "", "", "", nil}}},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				got := s.records(t, added(t, s.Server, func() {
					if err := test.action(); !errors.Is(err, test.err) {
						t.Errorf("it answers %v, want %v", err, test.err)
					}
				}))
				if diff := cmp.Diff(test.want, sorted(got)); diff != "" {
					t.Errorf("rows (-want +got):\n%s", diff)
				}
			})
		}
	})
}

// sorted brings the keys that a value refers to into one order: theirs is of
// the ids of versions.
func sorted(records []record) []record {
	for _, r := range records {
		if len(r.Keys) > 2 {
			slices.Sort(r.Keys[1:])
		}
	}
	return records
}

func adminName(s *shop) (string, error) {
	page, err := s.Admin().AuditLogs(context.Background(), sdk.AuditQuery{Project: s.project.ID, EventType: "create-project"})
	if err != nil || len(page.Logs) == 0 {
		return "", fmt.Errorf("no row of the project: %w", err)
	}
	return page.Logs[0].Actor.Metadata["name"], nil
}

// ask is one audit query by hand; it gives the rows' events, newest first.
func (s *shop) ask(t *testing.T, target string) (logs []api.AuditLog, next string) {
	t.Helper()
	status, body, _ := s.get(t, s.Token.Reveal(), target)
	var page struct {
		AuditLogs  []api.AuditLog
		NextCursor string
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s", target, status, body)
	}
	return page.AuditLogs, page.NextCursor
}

func TestTheTrailIsAskedByProjectAndDay(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		clock := &kmstest.Clock{}
		s := newShop(t, kmstest.Options{Engine: engine, Clock: clock})
		// A time early in a day, so that the test's own steps stay in it.
		now := time.Now().UTC()
		start := now.Truncate(24*time.Hour).AddDate(0, 0, 1).Add(time.Hour)
		clock.Advance(start.Sub(now))
		s.client = s.Client(s.viewer)
		var days []string
		for n := range 4 {
			s.Put(s.project, "dev", "/", "DAY", fmt.Sprint(n))
			days = append(days, start.AddDate(0, 0, n).Format(time.DateOnly))
			clock.Advance(24 * time.Hour)
		}
		made := "eventType=update-secret"
		tests := []struct {
			query string
			want  []int64 // versions of DAY
		}{
			{made + "&startDate=" + days[0], []int64{4, 3, 2, 1}},
			{made + "&startDate=" + days[1] + "&endDate=" + days[2], []int64{3, 2}},
			{made + "&startDate=" + days[1] + "&endDate=" + days[1], []int64{2}},
			{made + "&startDate=" + days[3] + "T00:00:00Z", []int64{4}},
			{made + "&startDate=" + days[0] + "&endDate=" + days[2] + "T00:00:00Z", []int64{2, 1}},
			{made + "&startDate=" + days[0] + "&endDate=" + days[0] + "T23:00:00-02:00", []int64{1}},
			{made + "&endDate=" + start.AddDate(0, 0, -1).Format(time.DateOnly), nil},
			{made + "&startDate=&endDate=&offset=&limit=", []int64{4, 3, 2, 1}},
			{made + "&limit=2", []int64{4, 3}},
			{made + "&limit=2&offset=1", []int64{3, 2}},
			{made + "&limit=2&offset=3", []int64{1}},
			{"action=update&environment=dev&secretPath=/&secretKey=DAY", []int64{4, 3, 2, 1}},
			{"action=update&environment=prod&secretKey=DAY", nil},
			{"secretKey=DAY&outcome=denied", nil},
			{"secretKey=DAY&actorType=user", nil},
			{"secretKey=DAY&ipAddress=10.0.0.1", nil},
		}
		for _, path := range []string{"/api/v1/audit-logs?projectId=" + s.project.ID, "/api/v1/audit-logs?projectId=shop", "/api/v1/organization/audit-logs?projectId=shop",
			"/api/v1/workspace/" + s.project.ID + "/audit-logs?"} {
			for _, test := range tests {
				logs, _ := s.ask(t, path+"&"+test.query)
				var got []int64
				for _, l := range logs {
					got = append(got, l.SecretKeys[0].Version)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s&%s (-want +got):\n%s", path, test.query, diff)
				}
			}
		}
		for _, bad := range []string{"startDate=yesterday", "endDate=2025-02-30", "limit=0x10", "limit=1001", "limit=-1", "offset=-1", "cursor=x"} {
			if status, body, _ := s.get(t, s.Token.Reveal(), "/api/v1/audit-logs?"+bad); status != http.StatusBadRequest {
				t.Errorf("%s: %d %s, want 400", bad, status, body)
			}
		}
	})
}

func TestPagesOfTheTrailMeetThoughItGrows(t *testing.T) {
	t.Parallel()
	s := newShop(t, kmstest.Options{})
	for n := range 7 {
		s.Put(s.project, "dev", "/", "K", fmt.Sprint(n))
	}
	whole, next := s.ask(t, "/api/v1/audit-logs?projectId=shop&eventType=update-secret")
	if next != "" || len(whole) != 7 {
		t.Fatalf("%d rows, next %q, want 7 and none", len(whole), next)
	}
	var ids []string
	cursor := ""
	for {
		page, next := s.ask(t, "/api/v1/audit-logs?projectId=shop&eventType=update-secret&limit=3&cursor="+url.QueryEscape(cursor))
		for _, l := range page {
			ids = append(ids, l.ID)
		}
		if next == "" {
			break
		}
		cursor = next
		s.Put(s.project, "dev", "/", "K", "newer") // moves no later page
	}
	var want []string
	for _, l := range whole {
		want = append(want, l.ID)
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("ids of all pages (-want +got):\n%s", diff)
	}
}

func TestTheTrailIsForAdminsOnly(t *testing.T) {
	t.Parallel()
	s := newShop(t, kmstest.Options{})
	other := s.Project("other")
	clients := map[string]*sdk.Client{"a viewer": s.client, "a member": s.Client(s.Identity(s.project, "member")), "an admin of another project": s.Client(s.Identity(other, "admin")),
		"nobody in particular": s.Client(s.Identity(s.project, ""))}
	for who, client := range clients {
		for _, query := range []sdk.AuditQuery{{Project: "shop"}, {Project: s.project.ID}, {}} {
			if page, err := client.AuditLogs(t.Context(), query); !errors.Is(err, api.ErrDenied) || page.Logs != nil {
				t.Errorf("%s asks %+v: %d rows, %v, want 403", who, query, len(page.Logs), err)
			}
		}
	}
	page, err := s.Client(s.Identity(s.project, "admin")).AuditLogs(t.Context(), sdk.AuditQuery{Project: "shop"})
	if err != nil || len(page.Logs) == 0 {
		t.Errorf("an admin of the project: %d rows, %v", len(page.Logs), err)
	}
	for _, l := range page.Logs {
		if l.ProjectSlug != "shop" {
			t.Errorf("a row of %q is among those of shop", l.ProjectSlug)
		}
	}
}

// S140 of the standard: after a leak, one query says what to change.
func TestOneQueryTellsWhichKeysAnIdentityReadSinceThenAndFromWhere(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		s := newShop(t, kmstest.Options{Engine: engine, Configure: func(c *kmstest.Config) { c.TrustedProxies = []string{"127.0.0.1/32"} }})
		s.Put(s.project, "dev", "/", "X", "1", "Y", "2")
		token, err := s.token(t)
		if err != nil {
			t.Fatal(err)
		}
		page, err := s.Admin().AuditLogs(t.Context(), sdk.AuditQuery{Project: "shop", Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		since := page.Logs[0].CreatedAt.Add(time.Millisecond)
		for time.Now().Before(since) { // wire times are milliseconds
			time.Sleep(time.Millisecond)
		}
		s.get(t, token, "/api/v3/secrets/raw?workspaceSlug=shop&environment=dev", "X-Forwarded-For", "203.0.113.7")
		s.get(t, token, "/api/v3/secrets/raw/A?workspaceSlug=shop&environment=prod", "X-Forwarded-For", "198.51.100.9")
		s.get(t, token, "/api/v3/secrets/raw/NOT?workspaceSlug=shop&environment=prod", "X-Forwarded-For", "198.51.100.9")
		if _, err := s.Admin().Get(t.Context(), s.scope, "B", sdk.GetOptions{}); err != nil { // somebody else
			t.Fatal(err)
		}
		read := map[string][]string{} // key -> addresses
		for l, err := range s.Admin().AllAuditLogs(t.Context(), sdk.AuditQuery{Project: "shop", ActorID: s.viewer.IdentityID, Action: "read", Outcome: "success", From: since}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range l.SecretKeys {
				name := fmt.Sprintf("%s:%s:%s@%d", k.Environment, k.SecretPath, k.SecretKey, k.Version)
				read[name] = append(read[name], l.IPAddress)
			}
		}
		want := map[string][]string{"dev:/:X@1": {"203.0.113.7"}, "dev:/:Y@1": {"203.0.113.7"}, "prod:/:A@1": {"198.51.100.9"}}
		if diff := cmp.Diff(want, read); diff != "" {
			t.Errorf("keys and addresses (-want +got):\n%s", diff)
		}
		// The other way round: who has read this key, alone or in a list?
		for key, want := range map[string]int{"X": 1, "A": 2} { // A: also when the server was set up
			page, err := s.Admin().AuditLogs(t.Context(), sdk.AuditQuery{Project: "shop", SecretKey: key, Action: "read", Outcome: "success"})
			if err != nil || len(page.Logs) != want {
				t.Errorf("reads of %s: %d rows, %v, want %d", key, len(page.Logs), err, want)
			}
		}
	})
}

func (s *shop) token(t *testing.T) (string, error) {
	t.Helper()
	resp, err := http.PostForm(s.URL+"/api/v1/auth/universal-auth/login", url.Values{"clientId": {s.viewer.ClientID}, "clientSecret": {s.viewer.ClientSecret}})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var login struct{ AccessToken string }
	err = json.NewDecoder(resp.Body).Decode(&login)
	return login.AccessToken, err
}

func TestTheAddressIsTheClientsOnlyWhenATrustedProxySaysSo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		trusted   []string
		forwarded []string // headers
		want      string
	}{
		{"nobody is trusted", nil, []string{"203.0.113.7"}, "127.0.0.1"},
		{"another network is trusted", []string{"10.0.0.0/8"}, []string{"203.0.113.7"}, "127.0.0.1"},
		{"the proxy is trusted", []string{"127.0.0.0/8"}, []string{"203.0.113.7"}, "203.0.113.7"},
		{"the client's own claim is in front", []string{"127.0.0.0/8"}, []string{"1.2.3.4, 203.0.113.7"}, "203.0.113.7"},
		{"two trusted proxies", []string{"127.0.0.0/8", "10.0.0.0/8"}, []string{"1.2.3.4, 203.0.113.7, 10.1.1.1"}, "203.0.113.7"},
		{"in two headers", []string{"127.0.0.0/8", "10.0.0.0/8"}, []string{"203.0.113.7", "10.1.1.1"}, "203.0.113.7"},
		{"IPv6", []string{"127.0.0.0/8"}, []string{"2001:db8::1"}, "2001:db8::1"},
		{"no header", []string{"127.0.0.0/8"}, nil, "127.0.0.1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			kms := &shop{Server: kmstest.New(t, kmstest.Options{Configure: func(c *kmstest.Config) { c.TrustedProxies = test.trusted }})}
			var headers []string
			for _, h := range test.forwarded {
				headers = append(headers, "X-Forwarded-For", h)
			}
			for _, token := range []string{kms.Token.Reveal(), "garbage"} {
				rows := added(t, kms.Server, func() { kms.get(t, token, "/api/v1/projects", headers...) })
				if len(rows) != 1 || rows[0].IP != test.want {
					t.Errorf("rows %v, want one from %s", rows, test.want)
				}
			}
		})
	}
}

// There is no way over the API to change or remove a row: the trail is in no
// route but to be read, and what is recorded stays as it is whatever is called.
func TestNoRouteChangesTheTrail(t *testing.T) {
	t.Parallel()
	for _, r := range httpapi.Routes() {
		if strings.Contains(r.Pattern, "audit") && r.Method != http.MethodGet {
			t.Errorf("%s %s is a route on the trail", r.Method, r.Pattern)
		}
	}
	s := newShop(t, kmstest.Options{})
	before := rows(t, s.Server)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		for _, path := range []string{"/api/v1/audit-logs", "/api/v1/audit-logs/" + before[0].ID, "/api/v1/organization/audit-logs", "/api/v1/workspace/shop/audit-logs"} {
			req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+s.Token.Reveal())
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d, want 404 or 405", method, path, resp.StatusCode)
			}
		}
	}
	// Not even deleting what they are about takes rows away.
	if _, err := s.Admin().DeleteIdentity(t.Context(), s.viewer.IdentityID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Admin().DeleteProject(t.Context(), s.project.ID); err != nil {
		t.Fatal(err)
	}
	after := rows(t, s.Server)
	if diff := cmp.Diff(before, after[len(after)-len(before):]); diff != "" {
		t.Errorf("rows that were there (-before +after):\n%s", diff)
	}
	wantIntact(t, s.Server)
}
