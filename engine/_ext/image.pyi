from typing import Final, NoReturn, TypedDict

SUPPORTED: Final[bool]

class Statistics(TypedDict):
    image_bytes: int
    data_bytes: int
    pieces: int
    files: int

def capture(image_fd: int, own_folder: str = "/tmp/") -> bytes | None: ...
def restore(image_fd: int, message: bytes = b"") -> NoReturn: ...
def statistics(image_fd: int) -> Statistics: ...
