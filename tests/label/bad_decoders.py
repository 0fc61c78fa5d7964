"""What decodes badly, for processes that are started from a test: it hangs, crashes or eats."""

import os
import signal
import time

from apical.label.from_file import sprite_of_file


def cut(wanted, *, bad, log, pause=0.0):
    """As `sprite_of_file`, but `bad` tells what happens for some clips; each call adds a line to `log`."""
    with open(log, "a") as file:
        file.write(f"{wanted.clip}\n")
    time.sleep(pause)
    suffer(bad.get(wanted.clip))
    return sprite_of_file(wanted)


def suffer(how):
    """Do what a bad decoder does."""
    if how == "hang":
        while True:
            pass
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "eat":
        return bytearray(64 << 30)
    if how == "raise":
        raise RuntimeError("DOE^JOHANNA")
    return how


def shout(path):
    """Print what must not be printed, then give the process's id; a path ends in an endless loop."""
    print("DOE^JOHANNA", flush=True)
    os.write(2, b"DOE^JOHANNA")
    if path:
        with open(path, "w") as file:
            file.write(str(os.getpid()))
        suffer("hang")
    return os.getpid()
