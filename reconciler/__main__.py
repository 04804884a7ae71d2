from reconciler.cli import command

raise SystemExit(command())
