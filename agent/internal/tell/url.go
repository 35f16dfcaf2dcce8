package tell

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
)

// post sends an empty POST. The answer's body is read a little, so that a
// server is not cut off in the middle of it, and ignored.
func post(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
	if err != nil {
		return errors.New("the address cannot be read: give one such as http://localhost:8080/reload")
	}
	request.Header.Set("User-Agent", "kms-agent")
	answer, err := localClient().Do(request)
	if err != nil {
		return withoutAnswer(ctx, err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, 4<<10))
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("the answer was status %d and not one of 200 to 299", answer.StatusCode)
	}
	return nil
}

// localClient follows no redirect, uses no proxy, trusts the authorities of
// the system and keeps no connection.
func localClient() *http.Client {
	dialer := &net.Dialer{Control: onlyLoopback}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

// onlyLoopback refuses connections that would leave the pod. It sees the
// address that a name was resolved to, whatever the name promised.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	if to, err := netip.ParseAddrPort(address); err != nil || !to.Addr().IsLoopback() {
		return errors.New("it is not a loopback address of this host: give localhost, 127.0.0.1 or [::1]")
	}
	return nil
}

// withoutAnswer says why there is no answer. Only errors of the network and of
// certificates are repeated: others hold the whole address, or what the server
// sent.
func withoutAnswer(ctx context.Context, err error) error {
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &network):
		return network
	case errors.As(err, &certificate):
		return certificate
	}
	return errors.New("there was no answer in HTTP: check the scheme and the port")
}
