package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

const maxText = 1 << 20 // bytes; an environment variable holds less

// Parse reads a configuration, puts in the defaults, and reports all that is
// wrong with it as one *Error.
func Parse(data []byte) (Config, error) {
	if len(data) > maxText {
		return Config{}, &Error{[]string{fmt.Sprintf("it has more than %d bytes", maxText)}}
	}
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		return Config{}, &Error{[]string{"it is not JSON: see " + position(data, err)}}
	}
	var c Config
	r := reader{dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	r.value("", reflect.ValueOf(&c).Elem())
	r.complete("", reflect.ValueOf(&c).Elem())
	r.check(c)
	if len(r.list) > 0 {
		return Config{}, &Error{r.list}
	}
	return c, nil
}

// position is where data stops being JSON; the text of the error quotes it.
func position(data []byte, err error) string {
	before := data
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		before = data[:min(max(syntax.Offset-1, 0), int64(len(data)))]
	}
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d", line, column)
}
