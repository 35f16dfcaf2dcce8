// Package markers puts generated sections into pages that people write. A
// section named options stands between <!-- options --> and <!-- /options -->;
// what is outside of the markers is never touched.
package markers

// SPDX-License-Identifier: Apache-2.0

import (
	"bytes"
	"fmt"
)

// Fill puts each section, by its name, between its markers. A section without
// markers is an error that says which are missing.
func Fill(page []byte, sections map[string]string) ([]byte, error) {
	for name, content := range sections {
		from, to := fmt.Appendf(nil, "<!-- %s -->\n", name), fmt.Appendf(nil, "<!-- /%s -->", name)
		before, rest, begun := bytes.Cut(page, from)
		_, after, ended := bytes.Cut(rest, to)
		if !begun || !ended {
			return nil, fmt.Errorf("there are no markers %s and %s: put them where the section belongs", bytes.TrimSpace(from), to)
		}
		page = bytes.Join([][]byte{before, from, []byte("\n" + content + "\n"), to, after}, nil)
	}
	return page, nil
}
