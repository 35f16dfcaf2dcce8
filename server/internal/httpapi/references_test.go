package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

func TestReferencesAreReplacedByWhatTheyName(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		w.ok("POST", "/api/v1/folders", w.body("prod", "", "name", "b", "path", "/a"))
		w.set("prod", "/", "HOST", "db.internal")
		w.set("prod", "/a/b", "PORT", "5432")
		w.set("prod", "/a/b", "URL", "${PORT}@${prod.HOST}")
		w.set("dev", "/", "USER", "me")
		w.set("dev", "/", "EMPTY", "")
		w.set("dev", "/", "LINES", "a\nb")
		for value, want := range map[string]string{
			"${USER}":                        "me",
			"x${USER}y${USER}z":              "xmeymez",
			"${prod.HOST}":                   "db.internal",
			"${production.HOST}":             "db.internal", // the other name of prod
			"${prod.a.b.PORT}":               "5432",
			"${prod.a.b.URL}":                "5432@db.internal", // in the place of what is referred to
			"${dev.USER}":                    "me",
			"$${USER}":                       "$me",
			"${${USER}}":                     "${me}",
			"${a${USER}":                     "${ame",
			"${USER}${prod.a.b.URL}${USER}":  "me5432@db.internalme",
			"${NOPE}":                        "${NOPE}",
			"${nope.USER}":                   "${nope.USER}",
			"${prod.nope.HOST}":              "${prod.nope.HOST}",
			"${prod.a.HOST}":                 "${prod.a.HOST}",
			"${EMPTY}":                       "${EMPTY}",
			"${}":                            "${}",
			"${ USER}":                       "${ USER}",
			"${USER":                         "${USER",
			"$USER $(USER) {USER} ${US:ER}":  "$USER $(USER) {USER} ${US:ER}",
			"${dev..USER} ${.USER} ${USER.}": "${dev..USER} ${.USER} ${USER.}",
			"${user}":                        "${user}",
			"${LINES}":                       "a\nb",
		} {
			w.set("dev", "/", "KEY", value, "skipMultilineEncoding", false)
			for query, want := range map[string]string{"": want, "true": want, "false": value} {
				if got := w.get("dev", "/", "KEY", "expandSecretReferences", query)["secretValue"]; got != want {
					t.Errorf("%s, expand %q: %q, want %q", value, query, got, want)
				}
			}
			for _, line := range w.list(raw + w.at("dev", "/")) {
				if strings.HasPrefix(line, "/KEY=") && line != "/KEY="+want {
					t.Errorf("%s in a list: %q, want %q", value, line, want)
				}
			}
		}
		w.set("dev", "/", "KEY", "x=${LINES}", "skipMultilineEncoding", true)
		if got := w.get("dev", "/", "KEY")["secretValue"]; got != `"x=a\nb"` {
			t.Errorf("skipMultilineEncoding: %q", got)
		}
		w.set("dev", "/", "KEY", "a\nb", "skipMultilineEncoding", true)
		if got := w.get("dev", "/", "KEY")["secretValue"]; got != "a\nb" {
			t.Errorf("skipMultilineEncoding without a reference: %q", got)
		}
	})
}

func TestReferencesAreFollowedTenLevelsAndNotInCircles(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	w.ok("POST", "/api/v1/folders", w.body("dev", "", "name", "chain"))
	for i := range 15 {
		w.set("dev", "/chain", fmt.Sprintf("L%02d", i), fmt.Sprintf("%d ${L%02d}", i, i+1))
	}
	w.set("dev", "/chain", "L15", "end")
	if got := w.get("dev", "/chain", "L00")["secretValue"]; got != "0 1 2 3 4 5 6 7 8 9 10 ${L11}" {
		t.Errorf("ten levels: %q", got)
	}
	if got := w.get("dev", "/chain", "L05")["secretValue"]; got != "5 6 7 8 9 10 11 12 13 14 end" {
		t.Errorf("within ten levels: %q", got)
	}
	// A list gives each secret the value that it has alone, whatever the way
	// on which another one of the list came to it first.
	w.set("dev", "/", "FAR", "${dev.chain.L00}")
	w.set("dev", "/", "NEAR", "${dev.chain.L06}")
	w.set("dev", "/", "A", "a${B}")
	w.set("dev", "/", "B", "b${C}")
	w.set("dev", "/", "C", "c${A}")
	w.set("dev", "/", "D", "d${A}${B}${D}")
	for _, path := range []string{"/", "/chain"} {
		var alone []string
		for _, line := range w.list(raw + w.at("dev", path, "expandSecretReferences", "false")) {
			key := line[strings.LastIndex(line[:strings.Index(line, "=")], "/")+1 : strings.Index(line, "=")]
			alone = append(alone, fmt.Sprint(strings.TrimSuffix(path, "/"), "/", key, "=", w.get("dev", path, key)["secretValue"]))
		}
		if diff := cmp.Diff(alone, w.list(raw+w.at("dev", path))); diff != "" {
			t.Errorf("%s: alone and in a list (-alone +list):\n%s", path, diff)
		}
	}
	if got := w.get("dev", "/", "A")["secretValue"]; got != "abc${A}" {
		t.Errorf("a circle: %q", got)
	}
	if got := w.get("dev", "/", "D")["secretValue"]; got != "dabc${A}bca${B}${D}" {
		t.Errorf("two circles and itself: %q", got)
	}
}

func TestWhatReferencesMakeOfAValueIsBounded(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	w.ok("POST", "/api/v1/folders", w.body("dev", "", "name", "bomb"))
	w.ok("POST", "/api/v1/folders", w.body("dev", "", "name", "many"))
	w.ok("POST", "/api/v1/folders", w.body("dev", "", "name", "ring"))

	// At the third level already this would be 100 GB.
	w.set("dev", "/bomb", "L9", strings.Repeat("x", 1<<20))
	for i := 8; i >= 0; i-- {
		w.set("dev", "/bomb", fmt.Sprint("L", i), strings.Repeat(fmt.Sprintf("${L%d}", i+1), 100_000))
	}
	w.refused(413, "too_large", "GET", raw+"/L0"+w.at("dev", "/bomb"), nil)
	w.refused(413, "too_large", "GET", raw+w.at("dev", "/bomb"), nil)
	if n := len(w.list(raw + w.at("dev", "/bomb", "expandSecretReferences", "false"))); n != 10 {
		t.Errorf("unexpanded: %d secrets", n)
	}

	// Short values that each put the same large one in.
	w.set("dev", "/many", "BIG", strings.Repeat("x", 1<<20))
	var all []map[string]string
	for i := range 200 {
		all = append(all, map[string]string{"secretKey": fmt.Sprint("K", i), "secretValue": "${BIG}"})
	}
	w.ok("POST", batched, w.body("dev", "/many", "secrets", all))
	w.refused(413, "too_large", "GET", raw+w.at("dev", "/many"), nil)
	if got := w.get("dev", "/many", "K7")["secretValue"].(string); len(got) != 1<<20 {
		t.Errorf("alone: %d bytes", len(got))
	}

	w.set("dev", "/", "FOUR", strings.Repeat("${dev.many.BIG}", 4))
	if got := w.get("dev", "/", "FOUR")["secretValue"].(string); len(got) != 4<<20 {
		t.Errorf("four: %d bytes", len(got))
	}
	w.set("dev", "/", "FIVE", strings.Repeat("${dev.many.BIG}", 5))
	w.refused(413, "too_large", "GET", raw+"/FIVE"+w.at("dev", "/"), nil)

	// Everything refers to everything: the ways are as the factorial.
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("${R%d}", i))
	}
	all = nil
	for i := range 30 {
		all = append(all, map[string]string{"secretKey": fmt.Sprint("R", i), "secretValue": strings.Join(names, "")})
	}
	w.ok("POST", batched, w.body("dev", "/ring", "secrets", all))
	w.refused(413, "too_large", "GET", raw+w.at("dev", "/ring"), nil)
	w.refused(413, "too_large", "GET", raw+"/R0"+w.at("dev", "/ring"), nil)

	for i := range 71 {
		names = append(names, fmt.Sprintf("${S%d}", i))
	}
	w.refused(400, "invalid", "POST", raw+"/TOO_MANY", w.body("dev", "/", "secretValue", strings.Join(names, "")+canary))
}

// Whoever may not read what a value refers to does not get the value, nor a
// list with it; who may not read a secret cannot write a reference to it.
func TestAReferenceGivesNobodyWhatHeMayNotRead(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	w.set("prod", "/", "SECRET", w.kms.Value())
	w.set("dev", "/", "OPEN", "1")
	w.set("dev", "/", "KEY", "${prod.SECRET}")
	w.ok("POST", "/api/v1/workspace/"+w.project.ID+"/roles", map[string]any{"slug": "dev-only", "name": "dev", "permissions": []map[string]any{
		{"actions": []string{"secrets:read", "secrets:create", "secrets:edit", "folders:read"}, "environments": []string{"dev"}}}})
	dev := w.role("dev-only")
	dev.refused(403, "denied", "GET", raw+"/KEY"+w.at("dev", "/"), nil)
	if got := dev.refused(403, "denied", "GET", raw+w.at("dev", "/"), nil); !strings.HasPrefix(got, "Failed to expand one or more secret references") {
		t.Errorf("the list: %q", got)
	}
	if got := dev.get("dev", "/", "OPEN")["secretValue"]; got != "1" {
		t.Errorf("a value beside it: %v", got)
	}
	if diff := cmp.Diff([]string{"/KEY=${prod.SECRET}", "/OPEN=1"}, dev.list(raw+w.at("dev", "/", "expandSecretReferences", "false"))); diff != "" {
		t.Errorf("unexpanded: %s", diff)
	}
	for _, value := range []string{"${prod.SECRET}", "${production.SECRET}", "${prod.NOPE}", "${nowhere.SECRET}"} {
		dev.refused(403, "denied", "POST", raw+"/NEW", w.body("dev", "/", "secretValue", canary+value))
		dev.refused(403, "denied", "PATCH", raw+"/OPEN", w.body("dev", "/", "secretValue", canary+value))
	}
	dev.set("dev", "/", "OPEN", "${KEY2}") // what is not there yet may be referred to
}
