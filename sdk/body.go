package sdk

import (
	"io"
	"net/http"

	"github.com/hanzoai/kms/api"
)

const firstBuffer = 4 << 10

// readBody reads an answer of at most most bytes. An answer may hold values,
// so that no buffer which is given up keeps a part of it. What is too large is
// left unread, and its connection ends with it.
func readBody(resp *http.Response, most int64) ([]byte, error) {
	switch length := resp.ContentLength; {
	case length > most:
		return nil, api.Errorf(api.ErrTooLarge, "the answer has %d bytes and MaxResponse is %d: ask for less, or raise MaxResponse", length, most)
	case length >= 0:
		return readExactly(resp.Body, length)
	}
	return readAll(resp.Body, most)
}

func readExactly(r io.Reader, length int64) ([]byte, error) {
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		clear(body)
		return nil, err
	}
	return body, nil
}

// readAll is io.ReadAll with a bound, and without the copies that its buffers
// leave behind as they grow.
func readAll(r io.Reader, most int64) ([]byte, error) {
	body := make([]byte, 0, firstBuffer)
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > most {
			err = api.Errorf(api.ErrTooLarge, "the answer has more than %d bytes, which is MaxResponse: ask for less, or raise MaxResponse", most)
		}
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil:
			wipe(body)
			return nil, err
		case len(body) == cap(body):
			body = grow(body, most)
		}
	}
}

// grow doubles the room of body, up to the one byte that is too much.
func grow(body []byte, most int64) []byte {
	larger := make([]byte, len(body), min(2*int64(cap(body)), most)+1)
	copy(larger, body)
	wipe(body)
	return larger
}

// wipe clears the whole buffer: a reader may use all of the room that it gets.
func wipe(body []byte) { clear(body[:cap(body)]) }
