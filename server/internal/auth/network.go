package auth

import (
	"net/netip"
	"strings"

	"github.com/hanzoai/kms/api"
)

// MaxNetworks is the most networks in one list.
const MaxNetworks = 100

// ParseNetworks reads a list of networks in CIDR form or bare addresses, each
// its own network; what names the list in errors. An IPv4 network in IPv6 form
// becomes IPv4. Bits set behind the mask are refused: one who wrote 10.0.0.5/8
// meant 10.0.0.5 or 10.0.0.0/8, which differ by 16 million hosts. An empty list
// is refused as well, since it can be meant as nobody and as everybody; a
// caller that has a default applies it before.
func ParseNetworks(what string, list []string) ([]netip.Prefix, error) {
	switch {
	case len(list) == 0:
		return nil, api.Errorf(api.ErrInvalid, "%s lists no network: give at least one, such as 10.0.0.0/8", what)
	case len(list) > MaxNetworks:
		return nil, api.Errorf(api.ErrInvalid, "%s lists %d networks: give at most %d", what, len(list), MaxNetworks)
	}
	networks := make([]netip.Prefix, len(list))
	for i, text := range list {
		network, ok := parseNetwork(strings.TrimSpace(text))
		if !ok {
			return nil, api.Errorf(api.ErrInvalid, "%s: entry %d is not a network: give CIDR such as 10.0.0.0/8 or 2001:db8::/32, or an address without zone", what, i+1)
		}
		if network != network.Masked() {
			return nil, api.Errorf(api.ErrInvalid, "%s: entry %d, %s, has bits set behind its mask: give %s for the network or %s for the one address",
				what, i+1, network, network.Masked(), network.Addr())
		}
		networks[i] = network
	}
	return networks, nil
}

func parseNetwork(text string) (netip.Prefix, bool) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, false
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	// A shorter mask than 96 bits leaves the IPv4 part of the space: it stays
	// IPv6, and has bits set behind the mask.
	if network.Addr().Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	return network, true
}

// Contains reports whether one of the networks contains addr. An IPv4 address
// in IPv6 form counts as IPv4, and a zone is left aside.
func Contains(networks []netip.Prefix, addr netip.Addr) bool {
	addr = plain(addr)
	for _, network := range networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// plain is the one form of an address: the same peer is seen as 10.0.0.1 or as
// ::ffff:10.0.0.1 depending on the listener, and a zone is only our own name
// for a link.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// ClientAddr is the address that a request came from: remote, the peer of the
// connection, unless that is a trusted proxy. Then it is the last address in
// forwardedFor (the X-Forwarded-For lines in order) that is not a trusted
// proxy. Reading from the right matters: each proxy appends what it saw, and
// everything left of what the first trusted proxy wrote was sent by the client
// and may be invented. At an entry that is no address the walk ends with the
// last good one. With no trusted networks the header is never looked at.
func ClientAddr(remote netip.Addr, forwardedFor []string, trusted []netip.Prefix) netip.Addr {
	addr := plain(remote)
	for line := len(forwardedFor) - 1; line >= 0; line-- {
		for rest, more := forwardedFor[line], true; more; {
			if !Contains(trusted, addr) {
				return addr
			}
			var entry string
			rest, entry, more = cutLast(rest)
			hop, ok := parseHop(strings.TrimSpace(entry))
			if !ok {
				return addr
			}
			addr = hop
		}
	}
	return addr
}

// cutLast takes the last entry off a list of entries separated by commas; more
// tells whether any is left.
func cutLast(list string) (rest, entry string, more bool) {
	comma := strings.LastIndexByte(list, ',')
	if comma < 0 {
		return "", list, false
	}
	return list[:comma], list[comma+1:], true
}

// parseHop reads one entry of X-Forwarded-For: an address, in brackets or not,
// with or without a port, which some proxies append. A zone has no meaning on
// another host, so an entry with one is none of an honest proxy's.
func parseHop(entry string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(entry)
	if err != nil {
		var hop netip.AddrPort
		if strings.HasPrefix(entry, "[") && strings.HasSuffix(entry, "]") {
			entry += ":0"
		}
		hop, err = netip.ParseAddrPort(entry)
		addr = hop.Addr()
	}
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// SourcePrefix is what wrong attempts from addr are counted under. IPv4 counts
// each address, since neighbours in a larger network are often strangers. IPv6
// counts each /64, which is what one host is usually given: counted by address,
// it would have 2^64 fresh starts. An unknown address is the zero Prefix.
func SourcePrefix(addr netip.Addr) netip.Prefix {
	addr = plain(addr)
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
