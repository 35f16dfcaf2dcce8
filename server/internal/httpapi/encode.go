package httpapi

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hanzoai/kms/api"
)

// appender is an answer that writes itself. Answers with values do: nothing
// but this file turns an api.Value into text on the wire.
type appender interface {
	appendJSON(b []byte) []byte
}

// encode gives the bytes of an answer: compact JSON on one line, the same for
// the same answer, with no escapes that JSON does not need. Unquoted shell
// variables in real pipelines survive such bytes.
func encode(answer any) ([]byte, error) {
	switch a := answer.(type) {
	case secretList:
		return a.appendJSON(make([]byte, 0, roomFor(a))), nil
	case compactList:
		return a.appendJSON(make([]byte, 0, roomFor(a))), nil
	case appender:
		return a.appendJSON(make([]byte, 0, 2048)), nil
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

// roomFor is about what a list takes: a buffer that grows is copied, and what
// it leaves behind holds values until it is collected.
func roomFor(all []api.Secret) int {
	room := 1024
	for i := range all {
		room += 1024 + all[i].SecretValue.Len() + all[i].SecretComment.Len()
	}
	return room
}

// secretList answers a list.
type secretList []api.Secret

func (l secretList) appendJSON(b []byte) []byte {
	b = append(b, `{"secrets":`...)
	b = appendSecrets(b, l, appendSecret)
	return append(b, `,"imports":[]}`...)
}

// compactList answers a list with what it takes to use the secrets.
type compactList []api.Secret

func (l compactList) appendJSON(b []byte) []byte {
	b = append(b, `{"secrets":`...)
	b = appendSecrets(b, l, appendCompact)
	return append(b, `,"imports":[]}`...)
}

func appendCompact(b []byte, s *api.Secret) []byte {
	b = appendField(b, `{"secretKey":`, s.SecretKey)
	b = appendField(b, `,"secretValue":`, s.SecretValue.Reveal())
	b = appendField(b, `,"secretPath":`, s.SecretPath)
	b = strconv.AppendInt(append(b, `,"version":`...), s.Version, 10)
	if s.SecretValueHidden {
		b = append(b, `,"secretValueHidden":true`...)
	}
	return append(b, '}')
}

// batch answers a batch write.
type batch []api.Secret

func (l batch) appendJSON(b []byte) []byte {
	b = append(b, `{"secrets":`...)
	b = appendSecrets(b, l, appendSecret)
	return append(b, '}')
}

// versions answers a list of versions.
type versions []api.Secret

func (l versions) appendJSON(b []byte) []byte {
	b = append(b, `{"secretVersions":`...)
	b = appendSecrets(b, l, appendSecret)
	return append(b, '}')
}

// oneSecret answers with one secret.
type oneSecret api.Secret

func (s oneSecret) appendJSON(b []byte) []byte {
	b = append(b, `{"secret":`...)
	secret := api.Secret(s)
	b = appendSecret(b, &secret)
	return append(b, '}')
}

// appendSecrets writes a list, each secret by one.
func appendSecrets(b []byte, all []api.Secret, one func([]byte, *api.Secret) []byte) []byte {
	b = append(b, '[')
	for i := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, &all[i])
	}
	return append(b, ']')
}

func appendSecret(b []byte, s *api.Secret) []byte {
	b = appendField(b, `{"id":`, s.ID)
	b = appendField(b, `,"_id":`, s.OldID)
	b = appendField(b, `,"workspace":`, s.Workspace)
	b = appendField(b, `,"environment":`, s.Environment)
	b = strconv.AppendInt(append(b, `,"version":`...), s.Version, 10)
	b = appendField(b, `,"type":`, s.Type)
	b = appendField(b, `,"secretKey":`, s.SecretKey)
	b = appendField(b, `,"secretValue":`, s.SecretValue.Reveal())
	b = appendField(b, `,"secretComment":`, s.SecretComment.Reveal())
	b = appendField(b, `,"secretPath":`, s.SecretPath)
	b = strconv.AppendBool(append(b, `,"secretValueHidden":`...), s.SecretValueHidden)
	b = appendTags(append(b, `,"tags":`...), s.Tags)
	b = appendMetadata(append(b, `,"secretMetadata":`...), s.SecretMetadata)
	b = strconv.AppendBool(append(b, `,"skipMultilineEncoding":`...), s.SkipMultilineEncoding)
	b = appendOptional(b, `,"secretReminderNote":`, s.ReminderNote)
	b = append(b, `,"secretReminderRepeatDays":`...)
	if s.ReminderRepeatDays != nil {
		b = strconv.AppendInt(b, *s.ReminderRepeatDays, 10)
	} else {
		b = append(b, "null"...)
	}
	b = appendTime(b, `,"createdAt":`, s.CreatedAt)
	b = appendTime(b, `,"updatedAt":`, s.UpdatedAt)
	b = appendActor(append(b, `,"actor":`...), s.Actor)
	b = strconv.AppendBool(append(b, `,"isRotatedSecret":`...), s.IsRotatedSecret)
	b = appendOptional(b, `,"rotationId":`, s.RotationID)
	return append(b, '}')
}

func appendField(b []byte, name, text string) []byte { return appendString(append(b, name...), text) }

func appendOptional(b []byte, name string, text *string) []byte {
	if text == nil {
		return append(append(b, name...), "null"...)
	}
	return appendField(b, name, *text)
}

func appendTime(b []byte, name string, t api.Time) []byte {
	b = append(append(b, name...), '"')
	// The layout with milliseconds is formatted by the letter, this one is not.
	b = t.UTC().AppendFormat(b, time.RFC3339)
	milli := t.Nanosecond() / 1_000_000
	return append(b[:len(b)-1], '.', byte('0'+milli/100), byte('0'+milli/10%10), byte('0'+milli%10), 'Z', '"')
}

func appendTags(b []byte, tags []api.Tag) []byte {
	b = append(b, '[')
	for i, tag := range tags {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendField(b, `{"id":`, tag.ID)
		b = appendField(b, `,"slug":`, tag.Slug)
		b = appendField(b, `,"name":`, tag.Name)
		b = append(appendOptional(b, `,"color":`, tag.Color), '}')
	}
	return append(b, ']')
}

func appendMetadata(b []byte, all []api.Metadata) []byte {
	b = append(b, '[')
	for i, m := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendField(b, `{"key":`, m.Key.Reveal())
		b = append(appendField(b, `,"value":`, m.Value.Reveal()), '}')
	}
	return append(b, ']')
}

func appendActor(b []byte, a *api.Actor) []byte {
	if a == nil {
		return append(b, "null"...)
	}
	b = appendField(b, `{"actorId":`, a.ActorID)
	b = appendField(b, `,"actorType":`, a.ActorType)
	b = appendField(b, `,"name":`, a.Name)
	return append(b, `,"membershipId":null,"groupId":null}`...)
}

// appendString writes a JSON string. Beside what JSON requires it escapes
// U+2028 and U+2029, which old JavaScript takes for line ends.
func appendString(b []byte, text string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, text[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			b = append(b, text[start:i]...)
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
			start = i + size
		}
		i += size
	}
	return append(append(b, text[start:]...), '"')
}
