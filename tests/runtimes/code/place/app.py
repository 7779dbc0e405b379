import errno
import http.client
import os
import signal
from pathlib import Path


def crashes(event, context):
    os.kill(os.getpid(), signal.SIGKILL)


def spins(event, context):
    while True:
        pass


def fails(event, context):
    raise TypeError(event["text"])


def tells_context(event, context):
    return [
        context.aws_request_id,
        context.invoked_function_arn,
        context.get_remaining_time_in_millis(),
        os.environ["_X_AMZN_TRACE_ID"],
        context.client_context and {"custom": context.client_context.custom},
        context.tenant_id,
    ]


def hoards(event, context):
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
    for _ in range(event["left"]):
        os.close(held.pop())
    return held


def registers(event, context):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request("POST", "/2020-01-01/extension/register", '{"events": []}', {"Lambda-Extension-Name": "late"})
    return connection.getresponse().status


def streams(event):
    yield b"first "
    for _ in range(event["pieces"]):
        yield b"x" * event["bytes"]
    if event.get("fails"):
        raise ValueError("late")


does = {
    "echo": lambda event, context: event["value"],
    "gives": lambda event, context: "x" * event["bytes"],
    "has": lambda event, context: event["name"] in Path("/proc/self/maps").read_text(),
    "prints": lambda event, context: print(event["text"]),
    "fails": fails,
    "hoards": hoards,
    "releases": lambda event, context: [os.close(number) for number in event["held"]],
    "exits": lambda event, context: os._exit(3),
    "crashes": crashes,
    "spins": spins,
    "context": tells_context,
    "registers": registers,
    "streams": lambda event, context: streams(event),
}

alarms = []


def sets_alarm(event, context):
    signal.signal(signal.SIGALRM, lambda number, frame: alarms.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.001)


does["sets_alarm"] = sets_alarm
does["alarms"] = lambda event, context: len(alarms)


def handler(event, context):
    return does[event["does"]](event, context)
