#!/usr/bin/env python3
"""Where PowerShell would be: the requests of bootstrap.ps1 in order, and what it was started with as the answer."""

import json
import os
import sys
import urllib.request

BASE = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime"
SCRIPT = sys.argv[-1]


def posts(path: str, body: object, error_type: str = "") -> None:
    heads = {"Content-Type": "application/json; charset=utf-8"}
    if error_type:
        heads["Lambda-Runtime-Function-Error-Type"] = error_type
    urllib.request.urlopen(urllib.request.Request(f"{BASE}/{path}", json.dumps(body).encode(), heads)).close()


if not os.environ["_HANDLER"].endswith(".ps1"):
    posts("init/error", {"errorMessage": "Invalid handler", "errorType": "RuntimeException"}, "RuntimeException")
    sys.exit(1)
while True:
    with urllib.request.urlopen(f"{BASE}/invocation/next") as given:
        path, event = f"invocation/{given.headers['Lambda-Runtime-Aws-Request-Id']}", json.load(given)
    if event == "throw":
        posts(f"{path}/error", {"errorMessage": "thrown", "errorType": "ItemNotFound"}, "ItemNotFound")
    else:
        told = {"arguments": sys.argv[1:], "home": os.environ["HOME"], "script": os.path.isfile(SCRIPT), "event": event}
        posts(f"{path}/response", told)
