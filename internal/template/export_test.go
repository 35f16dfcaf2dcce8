package template

// Replace has a function of a template do something else.
func (t *Template) Replace(name string, with func()) {
	f := t.functions[name]
	f.call = func(*run, []any) (any, *problem) { with(); return nil, nil }
	t.functions[name] = f
}
