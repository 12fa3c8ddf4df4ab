"""Runs, queries and a corpus, as people have them -> shards of pairs that the job reads."""
