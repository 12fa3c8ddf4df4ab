"""An estimate of a run before it runs, from footers and a random sample of rows: no Ray, no engine (`--dry-run`)."""
