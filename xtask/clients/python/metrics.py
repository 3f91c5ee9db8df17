"""Parses the metrics in both text formats.
Usage: python metrics.py http://HOST:PORT/metrics. Prints the sum of each counter and histogram as JSON."""

import json
import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as older

def fetch(accept):
    request = urllib.request.Request(sys.argv[1], headers={"accept": accept})
    with urllib.request.urlopen(request, timeout=5) as response:
        return response.headers["content-type"], response.read().decode()


kind, text = fetch("application/openmetrics-text; version=1.0.0")
assert kind.startswith("application/openmetrics-text"), kind
newer = list(open_metrics(text))  # raises on invalid text
kind, text = fetch("text/plain")
assert kind.startswith("text/plain"), kind
families = list(older(text))
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
