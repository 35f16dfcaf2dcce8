package auth_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/auth"
)

func networks(t testing.TB, list ...string) []netip.Prefix {
	t.Helper()
	parsed, err := auth.ParseNetworks("networks", list)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestNetworksAreReadInOneForm(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8":           "10.0.0.0/8",
		"0.0.0.0/0":            "0.0.0.0/0",
		"::/0":                 "::/0",
		"192.0.2.7":            "192.0.2.7/32",
		"192.0.2.7/32":         "192.0.2.7/32",
		"2001:db8::1":          "2001:db8::1/128",
		"2001:DB8:0:0::/32":    "2001:db8::/32",
		" 10.0.0.0/8\t":        "10.0.0.0/8",
		"::ffff:192.0.2.7":     "192.0.2.7/32",
		"::ffff:10.0.0.0/104":  "10.0.0.0/8",
		"::ffff:0.0.0.0/96":    "0.0.0.0/0",
		"::ffff:c000:0207/128": "192.0.2.7/32",
	} {
		got, err := auth.ParseNetworks("networks", []string{text})
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got[0].String() != want {
			t.Errorf("%q: %s, want %s", text, got[0], want)
		}
	}
}

func TestNetworksThatAreRefused(t *testing.T) {
	const form = "trusted: entry 2 is not a network: give CIDR such as 10.0.0.0/8 or 2001:db8::/32, or an address without zone"
	for name, test := range map[string]struct{ text, want string }{
		"empty":                       {"", form},
		"a name":                      {"localhost", form},
		"a canary":                    {"st.this-is-a-pasted-client-secret", form},
		"leading zeros, octal to C":   {"010.0.0.1", form},
		"three numbers":               {"10.0.1", form},
		"a number beyond 255":         {"10.0.0.256", form},
		"a mask of 33 bits":           {"10.0.0.0/33", form},
		"a mask of 129 bits":          {"::/129", form},
		"a negative mask":             {"10.0.0.0/-1", form},
		"a signed mask":               {"10.0.0.0/+8", form},
		"a mask with a zero":          {"10.0.0.0/08", form},
		"a dotted mask":               {"10.0.0.0/255.0.0.0", form},
		"no mask":                     {"10.0.0.0/", form},
		"two masks":                   {"10.0.0.0/8/8", form},
		"a zone":                      {"fe80::1%eth0", form},
		"a zone in a network":         {"fe80::%eth0/64", form},
		"a port":                      {"10.0.0.1:80", form},
		"brackets":                    {"[2001:db8::1]", form},
		"a line end":                  {"10.0.0.0\n/8", form},
		"a NUL":                       {"10.0.0.0\x00", form},
		"two in one":                  {"10.0.0.0/8,10.0.0.0/8", form},
		"host bits":                   {"10.0.0.5/8", "trusted: entry 2, 10.0.0.5/8, has bits set behind its mask: give 10.0.0.0/8 for the network or 10.0.0.5 for the one address"},
		"host bits, IPv6":             {"2001:db8::5/32", "trusted: entry 2, 2001:db8::5/32, has bits set behind its mask: give 2001:db8::/32 for the network or 2001:db8::5 for the one address"},
		"host bits, IPv4 in IPv6":     {"::ffff:10.0.0.5/104", "trusted: entry 2, 10.0.0.5/8, has bits set behind its mask: give 10.0.0.0/8 for the network or 10.0.0.5 for the one address"},
		"everything but in IPv4 form": {"10.0.0.0/0", "trusted: entry 2, 10.0.0.0/0, has bits set behind its mask: give 0.0.0.0/0 for the network or 10.0.0.0 for the one address"},
		"more than the IPv4 in IPv6":  {"::ffff:0.0.0.0/95", "trusted: entry 2, ::ffff:0.0.0.0/95, has bits set behind its mask: give ::fffe:0:0/95 for the network or ::ffff:0.0.0.0 for the one address"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := auth.ParseNetworks("trusted", []string{"127.0.0.1", test.text})
			if !errors.Is(err, api.ErrInvalid) || got != nil {
				t.Fatalf("%v, %v, want ErrInvalid", got, err)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAListHasOneToAHundredNetworks(t *testing.T) {
	hundred := slices.Repeat([]string{"10.0.0.0/8"}, auth.MaxNetworks)
	for _, test := range []struct {
		list []string
		want string
	}{
		{nil, "trusted lists no network: give at least one, such as 10.0.0.0/8"},
		{[]string{}, "trusted lists no network: give at least one, such as 10.0.0.0/8"},
		{hundred, ""},
		{append(hundred, "10.0.0.0/8"), "trusted lists 101 networks: give at most 100"},
	} {
		got, err := auth.ParseNetworks("trusted", test.list)
		switch {
		case test.want == "" && (err != nil || len(got) != len(test.list)):
			t.Errorf("%d networks: %d, %v", len(test.list), len(got), err)
		case test.want != "" && (!errors.Is(err, api.ErrInvalid) || err.Error() != test.want):
			t.Errorf("%d networks: %v, want %s", len(test.list), err, test.want)
		}
	}
}

func TestContains(t *testing.T) {
	office := networks(t, "10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "fe80::/10")
	for text, want := range map[string]bool{
		"10.255.255.255":   true,
		"11.0.0.0":         false,
		"192.0.2.7":        true,
		"192.0.2.8":        false,
		"::ffff:10.1.2.3":  true, // a listener on [::] sees IPv4 peers so
		"::ffff:11.1.2.3":  false,
		"::10.1.2.3":       false,
		"2001:db8::1":      true,
		"2001:db9::1":      false,
		"fe80::1%eth0":     true,
		"2001:db8::1%eth0": true,
	} {
		if got := auth.Contains(office, netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %t, want %t", text, got, want)
		}
	}
	all4, all6 := networks(t, "0.0.0.0/0"), networks(t, "::/0")
	mapped := netip.MustParseAddr("::ffff:10.1.2.3")
	if !auth.Contains(all4, mapped) || auth.Contains(all6, mapped) {
		t.Error("an IPv4 address in IPv6 form does not count as IPv4")
	}
	if auth.Contains(office, netip.Addr{}) || auth.Contains(append(all4, all6...), netip.Addr{}) {
		t.Error("an unknown address is in a network")
	}
	if auth.Contains(nil, mapped) {
		t.Error("no network contains an address")
	}
}

func TestTheAddressOfAClient(t *testing.T) {
	const client, proxy, outer = "203.0.113.9", "10.0.0.1", "10.0.0.2"
	for name, test := range map[string]struct {
		remote  string
		header  []string
		trusted []string
		want    string
	}{
		"nobody is trusted by default":               {client, []string{"192.0.2.1"}, nil, client},
		"nobody is trusted, loopback neither":        {"127.0.0.1", []string{"192.0.2.1"}, nil, "127.0.0.1"},
		"an untrusted peer sends the header":         {client, []string{"10.0.0.9"}, []string{"10.0.0.0/8"}, client},
		"no proxy, no header":                        {client, nil, []string{"10.0.0.0/8"}, client},
		"a proxy without the header":                 {proxy, nil, []string{"10.0.0.0/8"}, proxy},
		"one proxy":                                  {proxy, []string{client}, []string{"10.0.0.0/8"}, client},
		"one proxy, a spoofed entry":                 {proxy, []string{"192.0.2.1, " + client}, []string{"10.0.0.0/8"}, client},
		"one proxy, a spoofed trusted address":       {proxy, []string{"10.0.0.9, " + client}, []string{"10.0.0.0/8"}, client},
		"one proxy, a spoofed line before":           {proxy, []string{"192.0.2.1", client}, []string{"10.0.0.0/8"}, client},
		"one proxy, spoofed rubbish before":          {proxy, []string{"';--, " + client}, []string{"10.0.0.0/8"}, client},
		"two proxies":                                {proxy, []string{client + ", " + outer}, []string{"10.0.0.0/8"}, client},
		"two proxies in two lines":                   {proxy, []string{client, outer}, []string{"10.0.0.0/8"}, client},
		"two proxies, only the inner is trusted":     {proxy, []string{client + ", " + outer}, []string{proxy}, outer},
		"all are proxies":                            {proxy, []string{"10.0.0.3, " + outer}, []string{"10.0.0.0/8"}, "10.0.0.3"},
		"everybody is trusted: the leftmost":         {proxy, []string{"192.0.2.1, " + client}, []string{"0.0.0.0/0"}, "192.0.2.1"},
		"a name stops the walk":                      {proxy, []string{client + ", unknown"}, []string{"10.0.0.0/8"}, proxy},
		"a name stops at the last good hop":          {proxy, []string{client + ", unknown, " + outer}, []string{"10.0.0.0/8"}, outer},
		"an empty entry stops":                       {proxy, []string{client + ",, " + outer}, []string{"10.0.0.0/8"}, outer},
		"a comma behind stops":                       {proxy, []string{client + ","}, []string{"10.0.0.0/8"}, proxy},
		"an empty line stops":                        {proxy, []string{client, ""}, []string{"10.0.0.0/8"}, proxy},
		"an entry with a zone stops":                 {proxy, []string{client + ", fe80::1%10.0.0.1"}, []string{"10.0.0.0/8"}, proxy},
		"octal stops":                                {proxy, []string{"0313.0.113.9"}, []string{"10.0.0.0/8"}, proxy},
		"a network stops":                            {proxy, []string{"203.0.113.0/24"}, []string{"10.0.0.0/8"}, proxy},
		"a quoted address stops":                     {proxy, []string{`"203.0.113.9"`}, []string{"10.0.0.0/8"}, proxy},
		"a port":                                     {proxy, []string{client + ":50123"}, []string{"10.0.0.0/8"}, client},
		"a port beyond 65535 stops":                  {proxy, []string{client + ":99999"}, []string{"10.0.0.0/8"}, proxy},
		"IPv6":                                       {proxy, []string{"2001:db8::9"}, []string{"10.0.0.0/8"}, "2001:db8::9"},
		"IPv6 in brackets":                           {proxy, []string{"[2001:db8::9]"}, []string{"10.0.0.0/8"}, "2001:db8::9"},
		"IPv6 in brackets with a port":               {proxy, []string{"[2001:db8::9]:443"}, []string{"10.0.0.0/8"}, "2001:db8::9"},
		"brackets that do not close stop":            {proxy, []string{"[2001:db8::9"}, []string{"10.0.0.0/8"}, proxy},
		"white space around":                         {proxy, []string{"\t" + client + " "}, []string{"10.0.0.0/8"}, client},
		"a client in IPv6 form":                      {proxy, []string{"::ffff:203.0.113.9"}, []string{"10.0.0.0/8"}, client},
		"a proxy in IPv6 form":                       {"::ffff:10.0.0.1", []string{client}, []string{"10.0.0.0/8"}, client},
		"a client in IPv6 form that is a proxy":      {proxy, []string{client + ", ::ffff:10.0.0.2"}, []string{"10.0.0.0/8"}, client},
		"a proxy on the link":                        {"fe80::1%eth0", []string{client}, []string{"fe80::/10"}, client},
		"an untrusted peer on the link":              {"fe80::1%eth0", []string{client}, nil, "fe80::1"},
		"a thousand spoofed entries":                 {proxy, []string{strings.Repeat("10.0.0.7, ", 1000) + client}, []string{"10.0.0.0/8"}, client},
		"a network behind a proxy of another family": {"2001:db8::1", []string{client}, []string{"10.0.0.0/8"}, "2001:db8::1"},
	} {
		t.Run(name, func(t *testing.T) {
			var trusted []netip.Prefix
			if test.trusted != nil {
				trusted = networks(t, test.trusted...)
			}
			got := auth.ClientAddr(netip.MustParseAddr(test.remote), test.header, trusted)
			if got.String() != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestAnUnknownPeerHasNoAddress(t *testing.T) {
	if got := auth.ClientAddr(netip.Addr{}, []string{"203.0.113.9"}, networks(t, "0.0.0.0/0", "::/0")); got.IsValid() {
		t.Errorf("a peer without address came from %s", got)
	}
}

func TestWhatThrottlingKeysOn(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.9":          "203.0.113.9/32",
		"::ffff:203.0.113.9":   "203.0.113.9/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2::":       "2001:db8:1:2::/64",
		"2001:db8:1:3::":       "2001:db8:1:3::/64",
		"fe80::1%eth0":         "fe80::/64",
	} {
		if got := auth.SourcePrefix(netip.MustParseAddr(text)); got.String() != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if got := auth.SourcePrefix(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("an unknown address: %s, want the zero Prefix", got)
	}
}

func FuzzParseNetworks(f *testing.F) {
	for _, text := range []string{"10.0.0.0/8", "10.0.0.5/8", "::/0", "::ffff:10.0.0.0/104", "::ffff:0:0/95", "fe80::1%eth0", "2001:db8::1", "010.0.0.1", "1.2.3.4/ 8"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := auth.ParseNetworks("networks", []string{text})
		if err != nil {
			if !errors.Is(err, api.ErrInvalid) {
				t.Errorf("error of kind %s", api.Kind(err))
			}
			return
		}
		network := got[0]
		if !network.IsValid() || network != network.Masked() || network.Addr().Is4In6() || network.Addr().Zone() != "" {
			t.Errorf("%q gave %s", text, network)
		}
		if !auth.Contains(got, network.Addr()) {
			t.Errorf("%s does not contain its own address", network)
		}
		if again := networks(t, network.String()); again[0] != network {
			t.Errorf("%s reads as %s", network, again[0])
		}
	})
}

func FuzzClientAddr(f *testing.F) {
	f.Add("10.0.0.1", "192.0.2.1, 203.0.113.9", "10.0.0.2", "10.0.0.0/8")
	f.Add("::ffff:10.0.0.1", "[2001:db8::1]:443", "::ffff:10.0.0.2", "10.0.0.0/8")
	f.Add("203.0.113.9", "10.0.0.1", "", "10.0.0.0/8")
	f.Add("fe80::1%eth0", "fe80::2%eth1,unknown", ",,", "fe80::/10")
	f.Fuzz(func(t *testing.T, remoteText, line1, line2, trustedText string) {
		remote, err := netip.ParseAddr(remoteText)
		if err != nil {
			t.Skip()
		}
		trusted, err := auth.ParseNetworks("trusted", []string{trustedText})
		if err != nil {
			t.Skip()
		}
		header := []string{line1, line2}
		got := auth.ClientAddr(remote, header, trusted)
		if !got.IsValid() || got.Is4In6() || got.Zone() != "" {
			t.Errorf("the address is %s", got)
		}
		peer := remote.Unmap().WithZone("")
		if !auth.Contains(trusted, peer) && got != peer {
			t.Errorf("an untrusted peer %s is taken for %s", peer, got)
		}
		if auth.Contains(trusted, got) {
			return // the walk ended at a proxy: more entries may carry it on
		}
		for _, spoofed := range []string{"198.51.100.1", got.String(), peer.String(), "unknown", ""} {
			if again := auth.ClientAddr(remote, []string{spoofed + "," + line1, line2}, trusted); again != got {
				t.Errorf("%q before the header turns %s into %s", spoofed, got, again)
			}
			if again := auth.ClientAddr(remote, []string{spoofed, line1, line2}, trusted); again != got {
				t.Errorf("%q in a line before turns %s into %s", spoofed, got, again)
			}
		}
	})
}
