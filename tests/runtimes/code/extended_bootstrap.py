#!/usr/bin/python3
"""A runtime that does what its event says, one word after the other: see `DO`. Its extensions are what is tested."""

import http.client
import json
import os
import signal
import sys
import threading
import time

API = "/2018-06-01/runtime"
CONNECTION = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])


def ask(method, path, body=None, headers=None):
    CONNECTION.request(method, path, body, headers or {})
    answer = CONNECTION.getresponse()
    return answer, answer.read()


def say(*words):
    print(*words, flush=True)


def register_within(name, events):
    headers = {"Lambda-Extension-Name": name}
    answer, body = ask("POST", "/2020-01-01/extension/register", json.dumps({"events": events}), headers)
    return [answer.status, json.loads(body), answer.getheader("Lambda-Extension-Identifier")]


def own_extension():
    """An internal extension: the runtime's process asks for its events on a connection of its own."""
    status, told, identifier = register_within("within", ["INVOKE"])
    if os.environ.get("INTERNAL") == "thread":
        threading.Thread(target=listen, args=(identifier,), daemon=True).start()
    return [status, told]


def listen(identifier):
    own = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        own.request("GET", "/2020-01-01/extension/event/next", headers={"Lambda-Extension-Identifier": identifier})
        event = json.loads(own.getresponse().read())
        say("within", event["eventType"], event.get("requestId"))


def wait_for_term():
    """In a thread: a handler would wait for the main thread, which may just be about to read."""
    signal.sigwait({signal.SIGTERM})
    say("runtime got SIGTERM")
    if os.environ.get("ON_TERM") != "stay":
        os._exit(0)


DO = {
    "say": lambda words: say(words),
    "say-without-end": lambda words: (sys.stdout.write(words), sys.stdout.flush()),
    "error-line": lambda words: print(words, file=sys.stderr, flush=True),
    "sleep": time.sleep,
    "exit": os._exit,
    "kill": lambda number: os.kill(os.getpid(), number),
    "register": lambda given: register_within(*given),
    "variables": lambda _: dict(os.environ),
    "flood": lambda given: print(*["x" * given[1]] * given[0], sep="\n", flush=True),
    "hog": lambda megabytes: len(b"x" * (megabytes << 20)),
}


def main():
    if "ON_TERM" in os.environ:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=wait_for_term, daemon=True).start()
    if "INIT_SAYS" in os.environ:
        say(os.environ["INIT_SAYS"])
    told = own_extension() if "INTERNAL" in os.environ else None
    while True:
        answer, body = ask("GET", f"{API}/invocation/next")
        request_id = answer.getheader("Lambda-Runtime-Aws-Request-Id")
        event = json.loads(body)
        results = [DO[word](argument) for word, argument in event.get("do", [])]
        sent = {"results": results, "internal": told, "event": event}
        if "fail" in event:
            error = {"errorMessage": event["fail"], "errorType": "Told"}
            headers = {"Lambda-Runtime-Function-Error-Type": "Told"}
            ask("POST", f"{API}/invocation/{request_id}/error", json.dumps(error), headers)
        else:
            ask("POST", f"{API}/invocation/{request_id}/response", json.dumps(sent))
        if "after" in event:
            DO[event["after"][0]](event["after"][1])


main()
