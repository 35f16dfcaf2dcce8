package audit

import "context"

// PrintHead is what a ticker does once a minute.
func (l *Log) PrintHead(ctx context.Context) error { return l.printHead(ctx) }
