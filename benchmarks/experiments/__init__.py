"""Measurements that decided something once, each run by hand; `benchmarks/results` has what they found."""
