// Command kms-agent keeps the secrets of an application as files on a tmpfs,
// up to date, and tells the application when they change.
//
//	kms-agent run  -config FILE    beside the application, until SIGTERM
//	kms-agent init -config FILE    once, before it
//
// The configuration is that of package config. It never holds a secret: the
// credentials lie in files of their own.
package main

// SPDX-License-Identifier: Apache-2.0
