"""The function that is billed."""


def handler(event, context):
    if event.get("raise"):
        raise ValueError(event["raise"])
    return event
