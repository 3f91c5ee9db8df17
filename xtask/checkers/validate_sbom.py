"""Validates a CycloneDX file: its JSON by the schema, and that each dependency is a component."""

import json
import sys

from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = open(sys.argv[1], encoding="utf-8").read()
document = json.loads(text)
version = SchemaVersion.from_version(document["specVersion"])
error = JsonStrictValidator(version).validate_str(text)
if error is not None:
    sys.exit(f"{sys.argv[1]}: {error}"[:1000])
Bom.from_json(document).validate()
