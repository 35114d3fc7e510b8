"""Waiting for a state, never for a time."""

import time


def until(what, seconds=90, say="what was waited for did not come", pause=0.05):
    """What it gave when it held; an exception of it is one more try, as long as there is time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := what():
                return found
            error = None
        except Exception as raised:  # who is asked may be away
            error = raised
        if time.monotonic() >= deadline:
            raise AssertionError(f"{say} within {seconds} s") from error
        time.sleep(pause)


def seconds_until(what, seconds=90, say="what was waited for did not come"):
    """How long it took to hold."""
    began = time.monotonic()
    until(what, seconds, say)
    return round(time.monotonic() - began, 2)
