package main

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"github.com/hanzoai/kms/sdk"
)

// program knows nothing of a KMS: it reads its environment once, at its start,
// and ends in its own way. It shows a checksum and never the value.
const program = `trap 'echo "finished its work and ended"; exit' TERM
echo "started, checksum of its JWT_SECRET $(printf %s "$JWT_SECRET" | cksum | cut -d " " -f 1)"
while :; do sleep 1 & wait; done`

func (d *demo) superviseProgram(ctx context.Context) error {
	if err := d.writeConfig("exec.json", d.agentConfig()); err != nil {
		return err
	}
	running, err := d.start(nil, "kms-agent", "exec", "-config", d.path("exec.json"), "--", "sh", "-c", program)
	if err != nil {
		return err
	}
	if err := d.hear(ctx, running, "started, "); err != nil {
		return err
	}
	value := base64.RawURLEncoding.EncodeToString(random(24))
	if _, err := d.admin.Update(ctx, scope(service), sdk.SecretInput{Key: "JWT_SECRET", Value: &value}); err != nil {
		return err
	}
	changed := time.Now()
	for _, text := range []string{"finished ", "started, "} {
		if err := d.hear(ctx, running, text); err != nil {
			return err
		}
	}
	d.screen.say("restarted %s after the change was acknowledged; it knows nothing of a KMS", d.screen.paint("1;32", time.Since(changed).Round(time.Millisecond).String()))
	return nil
}

// hear shows the next line of a program with that text in it.
func (d *demo) hear(ctx context.Context, p *process, text string) error {
	line, err := p.await(ctx, text)
	if err == nil {
		d.screen.say("the program: %s", strings.TrimSpace(line))
	}
	return err
}
