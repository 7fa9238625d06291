"""dogpile.cache on its Redis backend. Mode `distributed`: with its lock in Redis."""

import sys
from importlib.metadata import version

from dogpile.cache import make_region
from league import REDIS, TTL, ask_primary, serve

arguments = {"url": REDIS, "redis_expiration_time": 2 * TTL}
if sys.argv[1] == "distributed":
    # A timeout, so that the lock of a process that died ends.
    arguments |= {"distributed_lock": True, "thread_local_lock": False, "lock_timeout": 2}

region = make_region().configure(
    "dogpile.cache.redis", expiration_time=TTL, arguments=arguments
)


def get(id):
    return region.get_or_create(id, lambda: ask_primary("read", id))


serve(version("dogpile.cache"), get, region.delete)
