"""The JSON Schema against a validator that is not ours: validator.py SCHEMA INVENTORY...

Says for each inventory whether it is valid; prints nothing else on stdout.
"""

import json
import re
import sys

import jsonschema
import yaml


class Core(yaml.SafeLoader):
    """YAML 1.2, as editors read it: PyYAML's own 1.1 takes `1:3` for 63 and `no` for false."""


Core.yaml_implicit_resolvers = {}
for tag, pattern in [
    ("bool", r"true|True|TRUE|false|False|FALSE"),
    ("null", r"null|Null|NULL|~|"),
    ("int", r"[-+]?[0-9]+"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?"),
]:
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), None)

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
for path in sys.argv[2:]:
    with open(path, encoding="utf-8-sig") as file:
        errors = list(validator.iter_errors(yaml.load(file, Core)))
    print("invalid" if errors else "valid", path)
    for error in errors:
        print(f"{path}: {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}", file=sys.stderr)
