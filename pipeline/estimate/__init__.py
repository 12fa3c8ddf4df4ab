"""What a run will take, before it runs: footers and a random sample of rows, no Ray and no engine (`--dry-run`)."""
