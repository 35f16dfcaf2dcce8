package main

// Each component is its name, by which it is found on PATH, and its arguments.

func (n *node) etcd() (string, []string) {
	const client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	return "etcd", []string{
		"--data-dir=" + n.path("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer,
	}
}

func (n *node) containerd() (string, []string) {
	return "containerd", []string{"--config=" + n.path("config", "containerd.toml")}
}

func (n *node) apiServer() (string, []string) {
	return "kube-apiserver", []string{
		"--etcd-servers=http://127.0.0.1:2379", "--secure-port=6443", "--advertise-address=" + nodeIP,
		"--service-cluster-ip-range=" + serviceRange, "--allow-privileged=true",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--client-ca-file=" + n.pki("ca.crt"), "--tls-cert-file=" + n.pki("apiserver.crt"), "--tls-private-key-file=" + n.pki("apiserver.key"),
		"--kubelet-certificate-authority=" + n.pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--kubelet-client-certificate=" + n.pki("kubelet-client.crt"), "--kubelet-client-key=" + n.pki("kubelet-client.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + n.pki("tokens.pub"), "--service-account-signing-key-file=" + n.pki("tokens.key"),
		"--requestheader-client-ca-file=" + n.pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + n.pki("front-proxy-client.crt"), "--proxy-client-key-file=" + n.pki("front-proxy-client.key"),
	}
}

func (n *node) controllerManager() (string, []string) {
	return "kube-controller-manager", append(n.client("kube-controller-manager"),
		"--use-service-account-credentials=true", "--service-account-private-key-file="+n.pki("tokens.key"),
		"--root-ca-file="+n.pki("ca.crt"), "--client-ca-file="+n.pki("ca.crt"),
		"--cluster-signing-cert-file="+n.pki("ca.crt"), "--cluster-signing-key-file="+n.pki("ca.key"),
		"--cluster-cidr="+podRange, "--service-cluster-ip-range="+serviceRange)
}

func (n *node) scheduler() (string, []string) {
	return "kube-scheduler", n.client("kube-scheduler")
}

// client is what the two have in common. With the default rate of requests, the
// first service account would take five seconds to appear.
func (n *node) client(name string) []string {
	kubeconfig := n.pki(name + ".kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--leader-elect=false", "--bind-address=127.0.0.1", "--kube-api-qps=500", "--kube-api-burst=1000",
	}
}

func (n *node) kubelet() (string, []string) {
	return "kubelet", []string{
		"--config=" + n.path("config", "kubelet.yaml"), "--kubeconfig=" + n.pki("kubelet.kubeconfig"),
		"--cert-dir=" + n.path("pki"), "--hostname-override=" + nodeName, "--node-ip=" + nodeIP,
	}
}

func (n *node) kubeProxy() (string, []string) {
	return "kube-proxy", []string{"--config=" + n.path("config", "kube-proxy.yaml")}
}

// coreDNS needs no pod and no Service: it listens on the node's address.
func (n *node) coreDNS() (string, []string) {
	return "coredns", []string{"-conf=" + n.path("config", "Corefile")}
}

func (n *node) pki(file string) string { return n.path("pki", file) }
