"""What the workers in Python share: the line protocol of benches/league/README.md."""

import os
import socket
import sys
import threading

REDIS = os.environ["LEAGUE_REDIS"]
THREADS = int(os.environ["LEAGUE_THREADS"])
TTL = 30

reading, writing = threading.Lock(), threading.Lock()


def ask_primary(verb, id):
    """One request to the primary: `read` for a loader, or `write`."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(os.environ["LEAGUE_PRIMARY"])
        stream.sendall(f"{verb} {id}\n".encode())
        with stream.makefile() as replies:
            return int(replies.readline())


def reply(text):
    with writing:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def answer(get, invalidate):
    while True:
        with reading:
            line = sys.stdin.readline()
        if not line:
            os._exit(0)
        number, verb, id = line.split()
        try:
            if verb == "get":
                version = get(id)
            else:
                version = ask_primary("write", id)
                invalidate(id)
            reply(f"{number} ok {version}")
        except Exception as error:
            reply(f"{number} error {error!r}".replace("\n", " "))


def serve(version, get, invalidate):
    """Answers the judge, in as many threads as it asks for."""
    reply(f"ready {version}")
    for _ in range(THREADS):
        threading.Thread(target=answer, args=(get, invalidate)).start()
