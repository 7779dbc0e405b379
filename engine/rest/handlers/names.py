"""F5: the function that a request is about: every form of its name that Lambda takes, and ARNs of the answer."""

from __future__ import annotations

from typing import Final

from ...errors import InvalidParameterValueException, ResourceNotFoundException
from ...validation import merge_qualifier, split_function_reference
from ..call import Call, Place

LATEST: Final = "$LATEST"


def function_arn(place: Place, name: str, qualifier: str | None = None) -> str:
    """A function's ARN here, qualified where `qualifier` is given."""
    arn = f"arn:aws:lambda:{place.region}:{place.account_id}:function:{name}"
    return arn if qualifier is None else f"{arn}:{qualifier}"


def function_and_qualifier(call: Call) -> tuple[str, str | None]:
    """The bare name of `FunctionName`, and the qualifier that it and `Qualifier` agree on.

    Raises ResourceNotFoundException for a function of another region or account, ValidationException,
    InvalidParameterValueException for two qualifiers.
    """
    parsed = split_function_reference(call.given["FunctionName"])
    qualifier = merge_qualifier(parsed.qualifier, call.given.get("Qualifier"))
    place = call.place
    if parsed.region not in (None, place.region):
        raise ResourceNotFoundException(
            f"Functions from '{parsed.region}' are not reachable in this region ('{place.region}')"
        )
    if parsed.account_id not in (None, place.account_id):
        other = Place(place.region, str(parsed.account_id), place.port)
        raise ResourceNotFoundException(f"Function not found: {function_arn(other, parsed.name, qualifier)}")
    return parsed.name, qualifier


def function_only(call: Call) -> str:
    """The bare name, where a qualifier has no meaning. Raises InvalidParameterValueException for one."""
    name, qualifier = function_and_qualifier(call)
    if qualifier not in (None, LATEST):
        raise InvalidParameterValueException(
            f"{call.operation} is about a function as a whole, and {call.given['FunctionName']} names {qualifier} of it"
        )
    return name
