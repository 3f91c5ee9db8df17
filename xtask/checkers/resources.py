"""Prints the resources of a YAML file as a JSON array: resources.py FILE"""

import json
import sys

import yaml

with open(sys.argv[1]) as file:
    print(json.dumps(list(yaml.safe_load_all(file))))
