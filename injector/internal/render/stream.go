package render

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// document is one of a stream.
type document struct {
	text   []byte // YAML as it came, nil if it did not
	object any    // with numbers as they were written
}

func readStream(in []byte) (list []document, err error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(in)))
	for n := 1; ; n++ {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		found, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("document %d is not YAML: %w", n, err)
		}
		list = append(list, found...)
	}
}

// parse reads what stands between two lines "---": one document, or any number
// in JSON.
func parse(text []byte) ([]document, error) {
	if list, good := parseJSON(text); good {
		return list, nil
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	object, err := decode(json.NewDecoder(bytes.NewReader(asJSON)))
	if object == nil {
		return nil, err // only comments
	}
	return []document{{text: text, object: object}}, err
}

func parseJSON(text []byte) (list []document, good bool) {
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		object, err := decode(decoder)
		if err != nil {
			return list, errors.Is(err, io.EOF)
		}
		list = append(list, document{object: object})
	}
}

func decode(decoder *json.Decoder) (value any, err error) {
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

func writeStream(list []document) ([]byte, error) {
	var out bytes.Buffer
	for i, d := range list {
		if i > 0 {
			out.WriteString("---\n")
		}
		text := d.text
		if text == nil {
			asJSON, err := json.Marshal(d.object)
			if err != nil {
				return nil, err
			}
			if text, err = yaml.JSONToYAML(asJSON); err != nil {
				return nil, err
			}
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}
