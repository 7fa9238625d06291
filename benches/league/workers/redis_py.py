"""Cache-aside by hand on redis-py, with its client-side cache."""

import threading
from importlib.metadata import version

from league import REDIS, TTL, ask_primary, serve
from redis import Redis
from redis.cache import CacheConfig


class Clients(threading.local):
    """A client for each thread: they would read the pushes of each other's connections."""

    def __init__(self):
        self.redis = Redis.from_url(
            REDIS, decode_responses=True, protocol=3, cache_config=CacheConfig()
        )


clients = Clients()


def get(id):
    found = clients.redis.get(id)
    if found is not None:
        return int(found)
    loaded = ask_primary("read", id)
    clients.redis.set(id, loaded, ex=TTL)
    return loaded


serve(version("redis"), get, lambda id: clients.redis.delete(id))
