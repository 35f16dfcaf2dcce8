package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"

	"github.com/hanzoai/kms/agent/config"
)

// structure is a struct of the configuration: Config, or one that it holds.
type structure struct {
	name   string // in Go
	place  string // its option in Config, "" for Config itself
	list   bool   // whether that option holds several
	doc    string
	fields []field
}

type field struct {
	name, goName string
	doc          string
	kind         reflect.Type // without the pointer
	optional     bool         // null is the same as leaving it out
	required     bool
	standard     string // the default
	choices      []string
}

// readStructs gives Config first, and then what it holds, in its order.
func readStructs(source string) ([]structure, error) {
	docs, err := readDocs(source)
	if err != nil {
		return nil, err
	}
	root := newStructure(reflect.TypeFor[config.Config](), docs)
	list := []structure{root}
	for _, f := range root.fields {
		if inner, several := element(f.kind); inner.Kind() == reflect.Struct {
			s := newStructure(inner, docs)
			s.place, s.list = f.name, several
			list = append(list, s)
		}
	}
	for _, s := range list {
		if s.doc == "" || slices.ContainsFunc(s.fields, func(f field) bool { return f.doc == "" }) {
			return nil, fmt.Errorf("%s: %s or one of its fields has no comment", source, s.name)
		}
	}
	return list, nil
}

func newStructure(t reflect.Type, docs map[string]string) structure {
	s := structure{name: t.Name(), doc: docs[t.Name()]}
	for i := range t.NumField() {
		s.fields = append(s.fields, newField(t.Field(i), docs[t.Name()+"."+t.Field(i).Name]))
	}
	return s
}

func newField(f reflect.StructField, doc string) field {
	name, omit, _ := strings.Cut(f.Tag.Get("json"), ",")
	made := field{name: name, goName: f.Name, doc: doc, kind: f.Type, required: omit == "", standard: f.Tag.Get("default")}
	if f.Type.Kind() == reflect.Pointer {
		made.kind, made.optional = f.Type.Elem(), true
	}
	if enum := f.Tag.Get("enum"); enum != "" {
		made.choices = strings.Split(enum, ",")
	}
	return made
}

// element is what a list holds, or the type itself.
func element(t reflect.Type) (inner reflect.Type, several bool) {
	if t.Kind() == reflect.Slice {
		return t.Elem(), true
	}
	return t, false
}

// readDocs gives the comments of types, by "Type", and of their fields, by
// "Type.Field", each as one line.
func readDocs(source string) (map[string]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	docs := map[string]string{}
	for _, declaration := range file.Decls {
		general, _ := declaration.(*ast.GenDecl)
		if general == nil || general.Tok != token.TYPE {
			continue
		}
		spec := general.Specs[0].(*ast.TypeSpec)
		docs[spec.Name.Name] = line(general.Doc)
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			docs[spec.Name.Name+"."+f.Names[0].Name] = line(f.Doc)
		}
	}
	return docs, nil
}

func line(comment *ast.CommentGroup) string { return strings.Join(strings.Fields(comment.Text()), " ") }
