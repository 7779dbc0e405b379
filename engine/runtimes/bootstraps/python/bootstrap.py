"""Started by path on a Python other than the engine's: finds the rest of this folder and simplejson, and lives."""

import os
import sys

CHANNEL_FD = 3
PACKAGE = os.path.basename(os.path.dirname(os.path.abspath(__file__)))


def main() -> None:
    plain = list(sys.path)
    sys.path[:0] = [
        os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        os.environ.get("LAMBDA_RUNTIME_DIR", "/var/runtime"),
    ]
    serving = __import__(f"{PACKAGE}.serving", fromlist=["live"])
    sys.path[:] = plain
    sys.path_importer_cache.clear()
    serving.live(CHANNEL_FD, PACKAGE)


main()
