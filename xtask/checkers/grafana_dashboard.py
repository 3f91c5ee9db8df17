"""Reads a dashboard with the types of Grafana, and fails if they lose a part of it: a misspelt or misplaced key.
Usage: python grafana_dashboard.py DASHBOARD. Prints the number of panels."""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

# Grafana shows it in the list of variables; the types do not have it.
UNTYPED = [".templating.list[1].definition"]


def lost(given, read, path=""):
    if isinstance(given, dict) and isinstance(read, dict):
        for key, value in given.items():
            yield from lost(value, read.get(key), f"{path}.{key}")
    elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        for index, (value, other) in enumerate(zip(given, read)):
            yield from lost(value, other, f"{path}[{index}]")
    elif given != read:
        yield path


plugins.register_default_plugins()
with open(sys.argv[1], encoding="utf-8") as file:
    dashboard = json.load(file)
read = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
assert list(lost(dashboard, read)) == UNTYPED, list(lost(dashboard, read))
print(len(dashboard["panels"]))
