package render

import (
	"cmp"
	"strings"
)

// object is one of Kubernetes, or a part of one. What it does not have, or has
// in another form, reads as nothing.
type object map[string]any

// each visits an object, or all in a List.
func each(value any, visit func(object)) {
	o, is := value.(map[string]any)
	if !is {
		return
	}
	items, isList := o["items"].([]any)
	if !isList || object(o).kind() != "/List" {
		visit(o)
		return
	}
	for _, item := range items {
		each(item, visit)
	}
}

// podIn is where an object has a pod, or the template of one.
func podIn(kind string) (path []string, has bool) {
	switch kind {
	case "/Pod":
		return nil, true
	case "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "batch/Job":
		return []string{"spec", "template"}, true
	case "batch/CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}, true
	}
	return nil, false
}

// kind is with the group and without the version: another group's Job is
// something else.
func (o object) kind() string {
	group, _, versioned := strings.Cut(o.text("apiVersion"), "/")
	if !versioned {
		group = ""
	}
	return group + "/" + o.text("kind")
}

// name is for people.
func (o object) name() string {
	return o.text("kind") + "/" + cmp.Or(o.text("metadata", "name"), o.text("metadata", "generateName"), "?")
}

func (o object) at(path ...string) (part object, found bool) {
	for _, name := range path {
		if o, found = o[name].(map[string]any); !found {
			return nil, false
		}
	}
	return o, true
}

func (o object) text(path ...string) string {
	last := len(path) - 1
	part, _ := o.at(path[:last]...)
	text, _ := part[path[last]].(string)
	return text
}

func (o object) texts(path ...string) map[string]string {
	part, _ := o.at(path...)
	texts := map[string]string{}
	for name, value := range part {
		if text, is := value.(string); is {
			texts[name] = text
		}
	}
	return texts
}
