"""Validates the resources of the Prometheus Operator in YAML files and prints their number:
prometheus_operator.py FILE...

The models ignore unknown fields, so a field that is missing in what they read is an error.
"""

import sys

import yaml
from cloudcoil.models.prometheus_operator import v1

count = 0
for path in sys.argv[1:]:
    with open(path) as file:
        resources = list(yaml.safe_load_all(file))
    for resource in resources:
        if resource["apiVersion"] != "monitoring.coreos.com/v1":
            continue
        model = getattr(v1, resource["kind"])
        known = model.model_validate(resource).model_dump(mode="json", by_alias=True, exclude_unset=True)
        if known != resource:
            sys.exit(f"{path}: {resource['kind']} has unknown fields: read {known} of {resource}")
        count += 1
print(count)
