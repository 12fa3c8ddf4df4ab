"""Evaluation of results by judgements: measures, significance, the effect of alpha, and a report of them."""
