package httpapi_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/kmstest"
)

var strongTag = regexp.MustCompile(`^"[A-Za-z0-9_-]{20,}"$`)

func TestAReadThatFindsNothingNewIs304WithoutABody(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		w.set("dev", "/", "KEY", "one")
		for _, target := range []string{raw + w.at("dev", "/"), raw + "/KEY" + w.at("dev", "/"), "/api/v4/secrets" + w.at("dev", "/"), raw + w.at("dev", "/", "viewSecretValue", "false")} {
			first := w.do("GET", target, nil)
			tag := first.header.Get("ETag")
			if !strongTag.MatchString(tag) {
				t.Errorf("%s: ETag %q", target, tag)
			}
			for _, header := range []string{tag, "W/" + tag, `"other", ` + tag, "*", `W/"x" , W/` + tag} {
				got := w.do("GET", target, nil, "If-None-Match", header)
				if got.status != 304 || got.body != "" || got.header.Get("ETag") != tag || got.header.Get("Content-Type") != "" {
					t.Errorf("%s: If-None-Match %s: %d %q %v", target, header, got.status, got.body, got.header)
				}
			}
			for _, header := range []string{`"other"`, strings.Trim(tag, `"`), strings.ToUpper(tag) + "x", ",", tag[:len(tag)-2] + `"`} {
				if got := w.do("GET", target, nil, "If-None-Match", header); got.status != 200 || got.body != first.body || got.header.Get("ETag") != tag {
					t.Errorf("%s: If-None-Match %s: %d", target, header, got.status)
				}
			}
		}
		target := raw + w.at("dev", "/")
		tag := w.do("GET", target, nil).header.Get("ETag")
		w.set("dev", "/", "KEY", "two")
		if got := w.do("GET", target, nil, "If-None-Match", tag); got.status != 200 || !strings.Contains(got.body, `"secretValue":"two"`) || got.header.Get("ETag") == tag {
			t.Errorf("after a change: %d %s", got.status, got.body)
		}
		// Who may not read learns nothing by a tag either.
		w.role("").refused(403, "denied", "GET", target, nil, "If-None-Match", "*")
		w.refused(404, "not_found", "GET", raw+w.at("dev", "/nope"), nil, "If-None-Match", "*")
		if got := w.do("GET", raw+w.at("dev", "/", "metadataFilter", "key=a,value=b"), nil, "If-None-Match", "*"); got.status != 200 {
			t.Errorf("a filter that no tag knows: %d", got.status)
		}
	})
}

func TestNoTagReturnsAfterASecretWasMadeAgain(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		target := raw + w.at("dev", "/")
		empty := w.do("GET", target, nil).header.Get("ETag")
		seen := map[string]bool{empty: true}
		for range 5 {
			w.set("dev", "/", "KEY", "same")
			tag := w.do("GET", target, nil).header.Get("ETag")
			if seen[tag] {
				t.Errorf("the tag %s came back", tag)
			}
			seen[tag] = true
			w.ok("DELETE", raw+"/KEY", w.body("dev", "/"))
			if again := w.do("GET", target, nil).header.Get("ETag"); again != empty {
				t.Errorf("the empty list has the tag %s now, before %s", again, empty)
			}
		}
	})
}

// TestATagChangesWhenTheBodyDoes changes a project at random and compares, for
// several views of callers with different rights, whether the body and the tag
// changed. A tag alone may change only by a write to what a value refers to, or
// to what a compact list leaves out.
func TestATagChangesWhenTheBodyDoes(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		t.Logf("seed %d", seed)
		p := newMutations(w, random)
		views := p.views()
		bodies, tags := make([]string, len(views)), make([]string, len(views))
		look := func() {
			for i, see := range views {
				a := see()
				bodies[i], tags[i] = a.body, a.header.Get("ETag")
				if a.status != 200 {
					bodies[i] = "" // a refusal has no tag, whichever it is
				}
			}
		}
		look()
		steps := map[string]int{kmstest.SQLite: 40, kmstest.Postgres: 8}[engine]
		for step := range steps {
			oldBodies, oldTags := append([]string{}, bodies...), append([]string{}, tags...)
			what, referred := p.mutate()
			look()
			for i := range views {
				body, tag := bodies[i] != oldBodies[i], tags[i] != oldTags[i]
				compact := strings.HasPrefix(bodies[i], `{"secrets":[{"secretKey":`) // shows too little of a write
				if body && !tag || tag && !body && !referred && !compact {
					t.Fatalf("step %d, %s: view %d: body changed %v, tag changed %v\n%s\n%s", step, what, i, body, tag, oldBodies[i], bodies[i])
				}
			}
		}
	})
}

// mutations changes a project at random.
type mutations struct {
	*wire
	random            *rand.Rand
	viewer, part      *wire
	tag, folder, env  string // ids
	slug, name, label string // of them, as they are now
	first             string // id of a secret
}

func newMutations(w *wire, random *rand.Rand) *mutations {
	p := &mutations{wire: w, random: random, slug: "qa", name: "f", label: "tag"}
	p.env = w.ok("POST", "/api/v1/workspace/"+w.project.ID+"/environments", map[string]any{"name": "QA", "slug": "qa"})["environment"].(map[string]any)["id"].(string)
	p.tag = w.ok("POST", p.tags(), map[string]any{"slug": "tag", "color": "red"})["tag"].(map[string]any)["id"].(string)
	p.folder = w.ok("POST", "/api/v1/folders", w.body("qa", "", "name", "f"))["folder"].(map[string]any)["id"].(string)
	w.ok("POST", "/api/v1/workspace/"+w.project.ID+"/roles", map[string]any{"slug": "part", "name": "part", "permissions": []map[string]any{
		{"actions": []string{"secrets:read", "folders:read"}, "keys": []string{"A*", "TARGET", "SHARED"}}}})
	p.viewer, p.part = w.role("viewer"), w.role("part")
	p.first = w.set("qa", "/", "A0", "v", "tagIds", []string{p.tag})["id"].(string)
	w.set("qa", "/f", "A1", "${dev.TARGET}", "tagIds", []string{p.tag})
	w.set("dev", "/", "TARGET", "t")
	return p
}

func (p *mutations) tags() string { return "/api/v1/projects/" + p.project.ID + "/tags" }

// views are reads that go to the same places whatever they are called now.
func (p *mutations) views() []func() answer {
	var all []func() answer
	for _, as := range []*wire{p.wire, p.viewer, p.part} {
		for _, more := range [][]string{{}, {"recursive", "true"}, {"expandSecretReferences", "false", "recursive", "true"}, {"viewSecretValue", "false"}, {"recursive", "true", "tagSlugs", "tag"}, {"compact", "true"}} {
			all = append(all, func() answer { return as.do("GET", raw+p.at(p.slug, "/", more...), nil) })
		}
		all = append(all,
			func() answer { return as.do("GET", raw+p.at(p.slug, "/"+p.name), nil) },
			func() answer { return as.do("GET", raw+p.at("dev", "/"), nil) },
			func() answer { return as.do("GET", raw+"/A1"+p.at(p.slug, "/"+p.name), nil) },
			func() answer { return as.do("GET", raw+"/A1"+p.at(p.slug, "/"+p.name, "version", "1"), nil) },
			func() answer { return as.do("GET", raw+"/id/"+p.first, nil) })
	}
	return all
}

// mutate makes one change, which may be refused, and reports whether it wrote
// what values may refer to.
func (p *mutations) mutate() (what string, referred bool) {
	pick := func(all ...string) string { return all[p.random.IntN(len(all))] }
	key, environment, path := pick("A0", "A1", "A2", "B0", "B1", "TARGET", "SHARED"), pick(p.slug, p.slug, "dev"), "/"
	if environment == p.slug && p.random.IntN(2) == 0 {
		path = "/" + p.name
	}
	send := func(method, target string, body any) { p.do(method, target, body) }
	switch n := p.random.IntN(12); n {
	case 0, 1, 2:
		value := pick("v", "w", "${TARGET}", "${dev.TARGET}", "${dev.SHARED}", "${A0}", "${B1}", "${"+p.slug+".f.A1}", "${NOPE}", "")
		body := p.body(environment, path, "secretValue", value)
		if p.random.IntN(2) == 0 {
			body["tagIds"] = []string{p.tag}
		}
		if a := p.do("POST", raw+"/"+key, body); a.status == 400 {
			send("PATCH", raw+"/"+key, body)
		}
		return fmt.Sprintf("set %s in %s:%s to %s", key, environment, path, value), true
	case 3:
		send("PATCH", raw+"/"+key, p.body(environment, path, "secretComment", pick("x", "y", ""), "tagIds", [][]string{{}, {p.tag}}[p.random.IntN(2)]))
		return "comment and tags of " + key, true
	case 4:
		send("PATCH", raw+"/"+key, p.body(environment, path, "newSecretName", pick("A2", "B1", "SHARED")))
		return "rename " + key, true
	case 5:
		if key == "A0" {
			return "nothing", false
		}
		send("DELETE", raw+"/"+key, p.body(environment, path))
		return "delete " + key, true
	case 6:
		p.label = pick("tag", "label", "mark")
		send("PATCH", p.tags()+"/"+p.tag, map[string]any{"slug": p.label, "color": pick("red", "blue")})
		return "change the tag", false
	case 7:
		p.name = pick("f", "g", "h")
		send("PATCH", "/api/v1/folders/"+p.folder, p.body(p.slug, "", "name", p.name, "path", "/"))
		return "rename the folder to " + p.name, true
	case 8:
		p.slug = pick("qa", "test", "preview")
		send("PATCH", "/api/v1/workspace/"+p.project.ID+"/environments/"+p.env, map[string]any{"slug": p.slug, "name": pick("QA", "Test")})
		return "rename the environment to " + p.slug, true
	case 9:
		send("POST", raw+"/OTHER", p.body("staging", "/", "secretValue", "x"))
		send("PATCH", raw+"/OTHER", p.body("staging", "/", "secretValue", "y"))
		return "a change in another environment", false
	case 10:
		send("POST", "/api/v1/folders", p.body(p.slug, "", "name", pick("x", "y", "z")))
		send("DELETE", "/api/v1/folders/"+pick("x", "y", "z"), p.body(p.slug, "", "path", "/"))
		return "other folders", false
	default:
		send("PATCH", "/api/v1/projects/"+p.project.ID, map[string]any{"name": pick("Shop", "Store"), "description": pick("", "d")})
		send("POST", p.tags(), map[string]any{"slug": pick("t1", "t2", "t3")})
		return "the project itself", false
	}
}
