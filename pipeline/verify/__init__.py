"""Whether an engine computes what it should: a sample of pairs, scored in several ways, and how far these are apart."""
