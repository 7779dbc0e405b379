"""F5: CloudWatch Logs' filter patterns: what FilterLogEvents and StartLiveTail look for in messages.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

from .compare import Match
from .fields import field_pattern
from .json_filter import json_pattern
from .scanner import PatternError, Scanner
from .terms import term_pattern

__all__ = ["Match", "PatternError", "compiled"]


def compiled(text: str) -> Match | None:
    """What says whether a message matches; None of a pattern that matches everything. Raises PatternError."""
    stripped = text.strip()
    if stripped in ("", '""'):
        return None
    if stripped[0] == "{":
        if stripped[-1] != "}":
            raise PatternError("If a filter pattern starts with '{' it must end with '}'")
        return json_pattern(Scanner(stripped[1:-1]))
    if stripped[0] == "[":
        if stripped[-1] != "]":
            raise PatternError("If a filter pattern starts with '[' it must end with ']'")
        return field_pattern(Scanner(stripped[1:-1]))
    return term_pattern(Scanner(stripped))
