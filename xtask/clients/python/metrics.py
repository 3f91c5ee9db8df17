"""Reads metrics as Prometheus would, in both text forms, and holds them to the rules of `promtool check metrics`.
Usage: python metrics.py http://HOST:PORT/metrics. Prints the sum of each counter and histogram as JSON."""

import json
import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as older

TYPES = ("counter", "gauge", "histogram", "summary")


def fetch(accept):
    request = urllib.request.Request(sys.argv[1], headers={"accept": accept})
    with urllib.request.urlopen(request, timeout=5) as response:
        return response.headers["content-type"], response.read().decode()


def lint(family):
    name = family.name
    if not family.documentation:
        yield f"{name}: no help"
    if any(f"_{kind}" in name for kind in TYPES):
        yield f"{name}: its type is in its name"
    if any(letter.isupper() for letter in name):
        yield f"{name}: not in lower case"
    if family.type != "counter" and name.endswith("_total"):
        yield f"{name}: _total, and no counter"
    if any(unit in name for unit in ("milliseconds", "microseconds", "kilobytes", "minutes")):
        yield f"{name}: not in a base unit"
    for sample in family.samples:
        if family.type == "counter" and not sample.name.endswith("_total"):
            yield f"{sample.name}: a counter without _total"


kind, text = fetch("application/openmetrics-text; version=1.0.0")
assert kind.startswith("application/openmetrics-text"), kind
newer = list(open_metrics(text))  # strict: it raises
kind, text = fetch("text/plain")
assert kind.startswith("text/plain"), kind
families = list(older(text))
complaints = [complaint for family in families for complaint in lint(family)]
assert not complaints, complaints
assert len(newer) == len(families), (len(newer), len(families))

sums = {}
for family in families:
    for sample in family.samples:
        if sample.name.endswith(("_bucket", "_sum")):
            continue
        labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
        sums[sample.name] = sums.get(sample.name, 0) + sample.value
        sums[f"{sample.name}{{{labels}}}"] = sample.value
print(json.dumps(sums))
