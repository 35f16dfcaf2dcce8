package config

import _ "embed"

//go:embed schema.json
var schema string

//go:embed example.json
var example string

// Schema is the JSON Schema of the configuration, made from Config.
func Schema() []byte { return []byte(schema) }

// Example is a configuration that uses most of what there is.
func Example() []byte { return []byte(example) }
