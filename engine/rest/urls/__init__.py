"""F5: function URLs: a function behind an HTTP endpoint of its own, as Lambda's are."""
