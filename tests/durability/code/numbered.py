"""Tells what its environment says."""

import os


def handler(event, context):
    return [os.environ.get("N"), context.function_version, event]
