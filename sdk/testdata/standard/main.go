// The program of the standard's "Using the SDK" section, with a main around it
// that shows what it set.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/hanzoai/kms/sdk"
)

func main() {
	client := sdk.NewClient(sdk.Config{
		SiteURL:      "https://kms.hanzo.ai",
		ClientID:     os.Getenv("KMS_CLIENT_ID"),
		ClientSecret: os.Getenv("KMS_CLIENT_SECRET"),
	})

	secrets, err := client.ListSecrets(sdk.ListSecretsOptions{
		ProjectSlug: "hanzo-iam",
		Environment: "prod",
		SecretPath:  "/",
	})
	if err != nil {
		log.Fatalf("failed to fetch secrets from KMS: %v", err)
	}

	for _, s := range secrets {
		os.Setenv(s.SecretKey, s.SecretValue)
	}

	fmt.Println(os.Getenv("API_KEY"))
	fmt.Println(os.Getenv("DB_URL"))
}
