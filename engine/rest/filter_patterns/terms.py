"""F5: patterns of terms: `ERROR "exit status" -DEBUG`, `?this ?that`, `%regular.expressions%`."""

from __future__ import annotations

from .compare import REGEX_MARK, Match, regex
from .scanner import Scanner


def term_pattern(scanner: Scanner) -> Match:
    """Every term must be there, those with a minus must not; of terms with a question mark one.

    CloudWatch Logs passes over question marks where there are other terms beside them. Raises PatternError.
    """
    wanted: list[Match] = []
    optional: list[Match] = []
    while not scanner.is_at_end:
        sign = scanner.take("-", "?")
        found = _take_term(scanner)
        if sign == "?":
            optional.append(found)
        else:
            wanted.append(_absent(found) if sign == "-" else found)
        scanner.skip_spaces()
    if not wanted:
        return lambda message: any(term(message) for term in optional)
    return lambda message: all(term(message) for term in wanted)


def _take_term(scanner: Scanner) -> Match:
    if scanner.looks_at('"'):
        phrase = scanner.take_quoted()
        return lambda message: phrase in message
    if scanner.looks_at(REGEX_MARK):
        expression = regex(scanner.take_between(REGEX_MARK))
        return lambda message: expression.search(message) is not None
    word = scanner.while_not("")
    if not word or not all(each.isalnum() or each == "_" for each in word):
        raise scanner.failure(word)
    return lambda message: word in message


def _absent(term: Match) -> Match:
    return lambda message: not term(message)
