package main

import (
	"encoding/json"
	"errors"
	"os"

	"github.com/hanzoai/kms/internal/pki"
)

const apiServerURL = "https://127.0.0.1:6443"

// writeCredentials makes all certificates and the kubeconfig of each who calls
// the API server, the administrator among them.
func (c cluster) writeCredentials() error {
	if err := os.Mkdir(c.path("pki"), 0o700); err != nil {
		return err
	}
	ca, err := pki.NewAuthority("ca")
	if err != nil {
		return err
	}
	// Whoever has a certificate of this one may speak for any user.
	frontProxy, err := pki.NewAuthority("front-proxy-ca")
	if err != nil {
		return err
	}
	return errors.Join(
		c.writePair("ca", ca.Pair, nil),
		c.writePair("front-proxy-ca", frontProxy.Pair, nil),
		c.issue(frontProxy, "front-proxy-client", "front-proxy-client", ""),
		c.issue(ca, "apiserver", "kube-apiserver", "", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
			"kubernetes.default", "kubernetes", "localhost", "127.0.0.1", nodeIP, apiServiceIP),
		c.issue(ca, "kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
		c.issue(ca, "kubelet-server", nodeName, "", nodeName, nodeIP),
		c.writeTokenKeys(),
		c.writeKubeconfig(ca, "admin", "admin", "system:masters"),
		c.writeKubeconfig(ca, "kube-controller-manager", "system:kube-controller-manager", ""),
		c.writeKubeconfig(ca, "kube-proxy", "system:kube-proxy", ""),
		c.writeKubeconfig(ca, "kube-scheduler", "system:kube-scheduler", ""),
		c.writeKubeconfig(ca, "kubelet", "system:node:"+nodeName, "system:nodes"),
	)
}

func (c cluster) issue(by pki.Authority, file, user, group string, hosts ...string) error {
	pair, err := by.Issue(user, group, hosts...)
	return c.writePair(file, pair, err)
}

func (c cluster) writePair(file string, pair pki.Pair, err error) error {
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(c.path("pki", file+".crt"), pair.Certificate, 0o600),
		os.WriteFile(c.path("pki", file+".key"), pair.Key, 0o600),
	)
}

// writeTokenKeys makes what the tokens of service accounts are signed with.
func (c cluster) writeTokenKeys() error {
	public, private, err := pki.NewKey()
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(c.path("pki", "tokens.pub"), public, 0o600),
		os.WriteFile(c.path("pki", "tokens.key"), private, 0o600),
	)
}

func (c cluster) writeKubeconfig(ca pki.Authority, name, user, group string) error {
	pair, err := ca.Issue(user, group)
	if err != nil {
		return err
	}
	type object map[string]any
	config, err := json.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": "cluster",
		"clusters": []object{{"name": "cluster", "cluster": object{"server": apiServerURL, "certificate-authority-data": ca.Certificate}}},
		"contexts": []object{{"name": "cluster", "context": object{"cluster": "cluster", "user": name}}},
		"users":    []object{{"name": name, "user": object{"client-certificate-data": pair.Certificate, "client-key-data": pair.Key}}},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(c.path("pki", name+".kubeconfig"), config, 0o600)
}
