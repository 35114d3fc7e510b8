"""The JSON Schema against a validator that is not ours: validator.py SCHEMA INVENTORY...

Says for each inventory whether it is valid; prints nothing else on stdout.
"""

import json
import sys

import jsonschema
import yaml

schema = json.load(open(sys.argv[1], encoding="utf-8"))
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
for path in sys.argv[2:]:
    errors = list(validator.iter_errors(yaml.safe_load(open(path, encoding="utf-8-sig"))))
    print("valid" if not errors else "invalid", path)
    for error in errors:
        print(f"{path}: {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}", file=sys.stderr)
