// Package sdk is the Go client of Hanzo KMS.
//
//	client := sdk.NewClient(sdk.Config{SiteURL: "https://kms.hanzo.ai", ClientID: id, ClientSecret: secret})
//	secrets, err := client.ListSecrets(sdk.ListSecretsOptions{ProjectSlug: "hanzo-iam", Environment: "prod", SecretPath: "/"})
//
// A Client logs in when it is first used, keeps its token fresh, retries what
// is safe to retry, and may be used by many goroutines at once. It starts none
// of its own and needs no closing. Errors wrap the kinds of package api, so
// that errors.Is(err, api.ErrNotFound) holds as it does in the server.
//
// The package imports the standard library and api only. It must never log,
// never write a file, never follow a redirect with a credential, and never put
// a client secret, a token or a value into an error.
package sdk

// SPDX-License-Identifier: Apache-2.0
