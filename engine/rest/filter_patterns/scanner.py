"""F5: a pattern's text from left to right: spaces, literals, quoted text, regular expressions, words."""

from __future__ import annotations

from typing import Final

SHOWN_MAX: Final = 100


class PatternError(ValueError):
    """A filter pattern that is none; the text is what CloudWatch Logs would say of it."""


class Scanner:
    """Where one is in a pattern. What is taken is behind it; what fails raises PatternError."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def rest(self) -> str:
        return self._text[self._at :]

    @property
    def is_at_end(self) -> bool:
        return self._at >= len(self._text)

    def skip_spaces(self) -> None:
        while not self.is_at_end and self._text[self._at].isspace():
            self._at += 1

    def looks_at(self, *literals: str) -> bool:
        return self._text.startswith(literals, self._at)

    def take(self, *literals: str) -> str | None:
        """The first of these that stands here, behind spaces; None where none does."""
        self.skip_spaces()
        for literal in literals:
            if self._text.startswith(literal, self._at):
                self._at += len(literal)
                return literal
        return None

    def take_word(self, *words: str) -> str | None:
        """As `take`, of words that end here: `IS`, and not the beginning of `ISSUE`. Upper or lower case."""
        self.skip_spaces()
        for word in words:
            end = self._at + len(word)
            if self._text[self._at : end].upper() == word and not self._text[end : end + 1].isalnum():
                self._at = end
                return word
        return None

    def while_not(self, stops: str, *literals: str) -> str:
        """Text up to a space, one of the characters `stops`, one of `literals` or the end."""
        begin = self._at
        while not self.is_at_end and not self._text[self._at].isspace() and self._text[self._at] not in stops:
            if literals and self.looks_at(*literals):
                break
            self._at += 1
        return self._text[begin : self._at]

    def take_quoted(self) -> str:
        """Text in double quotes, in which a backslash takes the next character as it is."""
        end, made = self._at + 1, []
        while end < len(self._text) and self._text[end] != '"':
            if self._text[end] == "\\" and self._text[end + 1 : end + 2] in ('"', "\\"):
                end += 1
            made.append(self._text[end])
            end += 1
        if end >= len(self._text):
            raise self.failure()
        self._at = end + 1
        return "".join(made)

    def take_between(self, mark: str) -> str:
        """What stands between this mark and the next."""
        end = self._text.find(mark, self._at + 1)
        if end < 0:
            raise self.failure()
        found = self._text[self._at + 1 : end]
        self._at = end + 1
        return found

    def failure(self, term: str | None = None) -> PatternError:
        return PatternError(f"Invalid character(s) in term '{(self.rest if term is None else term)[:SHOWN_MAX]}'")
