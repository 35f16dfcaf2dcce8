package main_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/hanzoai/kms/api"
)

func TestRevokedAccessKeepsDeletesOrEndsAsThePolicySays(t *testing.T) {
	t.Parallel()
	all := newSite(t)
	for _, policy := range []string{"keep", "delete", "exit"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := all.beside(t, policy)
			values := []string{s.Value(), s.Value(), s.Value()}
			s.put("A", values[0])
			s.pod = s.with(t, object{"onRevoked": policy})
			a := s.run("run")
			s.awaitFile("A", values[0])
			lines := s.startApp()
			expectReading(t, "at its start", lines)
			s.put("A", values[1])
			expectReading(t, "a change", lines, "A="+fingerprint(values[1]))

			_, err := s.Admin().RemoveIdentityFromProject(t.Context(), s.project.ID, s.who.IdentityID)
			s.must(err)
			a.says("refresh failed", "Forbidden")
			switch policy {
			case "exit":
				a.Wait()
				a.says("kms-agent: Forbidden")
				if code := a.ProcessState.ExitCode(); code != 5 {
					t.Errorf("ended with %d, want 5", code)
				}
				expectFile(t, s.dir+"/A", values[1])
				s.expectNoTrace(a, values...)
				return
			case "delete":
				expectReading(t, "the end of the files", lines)
				if _, err := os.Lstat(s.dir + "/A"); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the file is there: %v", err)
				}
				waitFor(t, "the end of the generation before", func() bool {
					_, err := os.Lstat(s.dir + "/..2")
					return errors.Is(err, fs.ErrNotExist)
				})
				s.expectProbes(t, "without access", 200, 503, "Forbidden")
			default:
				s.awaitCount(t, `failures_total{reason="Forbidden"}`, 2)
				expectFile(t, s.dir+"/A", values[1])
				s.expectProbes(t, "without access", 200, 503, "Forbidden")
			}
			_, err = s.Admin().AddIdentityToProject(t.Context(), s.project.ID, s.who.IdentityID, api.MembershipRole{Role: "viewer"})
			s.must(err)
			if policy == "delete" {
				expectReading(t, "access again", lines, "A="+fingerprint(values[1]))
			}
			s.put("A", values[2])
			s.awaitFile("A", values[2])
			a.says("refresh recovered")
			s.expectProbes(t, "with access again", 200, 200, "")
			a.terminate()
			s.expectNoTrace(a, values...)
		})
	}
}
