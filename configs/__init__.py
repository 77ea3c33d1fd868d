"""Strict configuration: YAML files and `a.b=c` overrides become frozen dataclasses (see `configs.loading`)."""
