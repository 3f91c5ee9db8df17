"""Applies the log operators of an OpenTelemetry Collector configuration, because the Collector itself is in no package
that the checks may install.
Usage: python otel_collector.py CONFIGURATION < LOG. Prints a record a line as JSON. Fails if the configuration is not
consistent, or if the log has none of the fields that an operator takes."""

import datetime
import json
import re
import sys

import yaml


def keys(field):
    """`attributes["a.b"]` and `attributes.a` name a key of a map, `body` the whole body."""
    root, quoted, plain = re.fullmatch(r'(\w+)(?:\["([^"]+)"\]|\.(\w+))?', field).groups()
    return root, quoted or plain


def get(record, field):
    root, key = keys(field)
    return record[root] if key is None else record[root].get(key)


def put(record, field, value):
    root, key = keys(field)
    if key is None:
        record[root] = value
    else:
        record[root][key] = value


def take(record, field):
    root, key = keys(field)
    return record[root].pop(key, None)


def is_met(condition, record):
    for part in condition.split(" and "):
        field, test, expected = re.fullmatch(r'(\S+) (!=|matches) (?:nil|"(.*)")', part).groups()
        value = get(record, field)
        if value is None or test == "matches" and not re.search(expected, value):
            return False
    return True


def parse_json(operator, record):
    record["attributes"].update(json.loads(record["body"]))
    given = operator["timestamp"]
    assert given["layout_type"] == "gotime" and given["layout"] == "2006-01-02T15:04:05Z07:00", given
    record["timestamp"] = datetime.datetime.fromisoformat(get(record, given["parse_from"])).isoformat()
    record["severity"] = get(record, operator["severity"]["parse_from"])
    record["scope"] = get(record, operator["scope_name"]["parse_from"])
    for name, given in operator["trace"].items():
        record[name] = get(record, given["parse_from"])
    return True


def parse_regex(operator, record):
    found = re.search(operator["regex"].replace("$$", "$"), get(record, operator["parse_from"]))
    assert found, (operator, record)
    record["attributes"].update(found.groupdict())
    return True


def move(operator, record):
    value = take(record, operator["from"])
    if value is not None:
        put(record, operator["to"], value)
    return value is not None


def remove(operator, record):
    return take(record, operator["field"]) is not None


OPERATORS = {"json_parser": parse_json, "regex_parser": parse_regex, "move": move, "remove": remove}

with open(sys.argv[1], encoding="utf-8") as file:
    config = yaml.safe_load(file)
for signal, pipeline in config["service"]["pipelines"].items():
    for kind in ("receivers", "exporters"):
        for name in pipeline[kind]:
            assert name in config[kind], f"{signal}: {name} is none of the {kind}"

operators = config["receivers"]["file_log"]["operators"]
unused = set(range(len(operators)))
for line in sys.stdin:
    record = {"body": line.rstrip("\n"), "attributes": {}}
    for index, operator in enumerate(operators):
        if "if" not in operator or is_met(operator["if"], record):
            if OPERATORS[operator["type"]](operator, record):
                unused.discard(index)
    print(json.dumps(record))
assert not unused, [operators[index] for index in unused]
