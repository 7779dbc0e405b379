"""Functions that are deployed as they are; each file is one, and its workers import nothing else from here."""
