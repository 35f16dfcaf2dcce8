package certs_test

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rights are all that a Keeper needs of a cluster: in its namespace, and in
// the cluster as a whole. A Secret that is not there yet has no name to be
// created by.
func rights(name string) (namespaced, clusterWide []rbacv1.PolicyRule) {
	namespaced = []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{secretName}, Verbs: []string{"get", "list", "watch", "update"}},
	}
	clusterWide = []rbacv1.PolicyRule{{
		APIGroups:     []string{"admissionregistration.k8s.io"},
		Resources:     []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"},
		ResourceNames: []string{name},
		Verbs:         []string{"get", "list", "watch", "patch"},
	}}
	return namespaced, clusterWide
}

// asInjector is the cluster as the injector's service account.
func (c *cluster) asInjector() *rest.Config {
	c.Helper()
	namespaced, clusterWide := rights(c.name)
	in := metav1.ObjectMeta{Name: c.name, Namespace: c.name}
	everywhere := metav1.ObjectMeta{Name: c.name}
	account := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: c.name, Name: "kms-injector"}}
	for _, o := range []client.Object{
		&rbacv1.Role{ObjectMeta: in, Rules: namespaced},
		&rbacv1.RoleBinding{ObjectMeta: in, Subjects: account, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: c.name}},
		&rbacv1.ClusterRole{ObjectMeta: everywhere, Rules: clusterWide},
		&rbacv1.ClusterRoleBinding{ObjectMeta: everywhere, Subjects: account, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: c.name}},
	} {
		c.must(c.Create(c.Context(), o))
		c.Cleanup(func() { c.Delete(context.Background(), o) })
	}
	config := rest.CopyConfig(c.config)
	config.Impersonate.UserName = fmt.Sprintf("system:serviceaccount:%s:kms-injector", c.name)
	c.waitForRights(config)
	return config
}

// waitForRights asks for what is not there until it hears so.
func (c *cluster) waitForRights(config *rest.Config) {
	c.Helper()
	account, err := client.New(config, client.Options{})
	c.must(err)
	secret := client.ObjectKey{Namespace: c.name, Name: secretName}
	until(c.T, "the rights of the service account", func() error {
		if err := account.Get(c.Context(), secret, &corev1.Secret{}); client.IgnoreNotFound(err) != nil {
			return err
		}
		err := account.Get(c.Context(), client.ObjectKey{Name: c.name}, &admissionv1.MutatingWebhookConfiguration{})
		return client.IgnoreNotFound(err)
	})
}
