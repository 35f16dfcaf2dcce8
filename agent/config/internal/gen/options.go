package main

import (
	"fmt"
	"reflect"
	"strings"
)

// options is the list of all options: one section for each structure.
func options(structs []structure) string {
	var sections []string
	for _, s := range structs {
		var out strings.Builder
		fmt.Fprintf(&out, "### %s\n\n%s\n\n", heading(s), prose(s.doc, s.name, s.fields, markdown))
		for _, f := range s.fields {
			fmt.Fprintf(&out, "- `%s` (%s): %s\n", f.name, facts(f), prose(f.doc, f.goName, s.fields, markdown))
		}
		sections = append(sections, out.String())
	}
	return strings.Join(sections, "\n")
}

func heading(s structure) string {
	switch {
	case s.place == "":
		return "The whole"
	case s.list:
		return "Each of " + code(s.place)
	}
	return code(s.place)
}

// facts are what is known of an option without its comment.
func facts(f field) string {
	list := []string{typeName(f)}
	if f.required {
		list = append(list, "required")
	}
	if f.standard != "" {
		list = append(list, "default "+code(f.standard))
	}
	return strings.Join(list, "; ")
}

func typeName(f field) string {
	inner, several := element(f.kind)
	switch {
	case f.choices != nil:
		return "`" + strings.Join(f.choices, "`, `") + "`"
	case inner.Kind() == reflect.Struct && several:
		return fmt.Sprintf("list of [objects](#each-of-%s)", f.name)
	case inner.Kind() == reflect.Struct:
		return fmt.Sprintf("[object](#%s)", f.name)
	case several:
		return "list of " + words[inner.Kind()] + "s"
	}
	return words[inner.Kind()]
}

var words = map[reflect.Kind]string{
	reflect.String: "string", reflect.Bool: "true or false", reflect.Int: "whole number", reflect.Map: "object of strings",
}
