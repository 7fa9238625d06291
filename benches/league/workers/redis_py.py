"""Cache-aside by hand on redis-py. Mode `client-side`: with its client-side cache, on RESP3."""

import sys
from importlib.metadata import version

from league import REDIS, TTL, ask_primary, serve
from redis import Redis
from redis.cache import CacheConfig

options = {}
if sys.argv[1] == "client-side":
    options = {"protocol": 3, "cache_config": CacheConfig()}

client = Redis.from_url(REDIS, decode_responses=True, **options)


def get(id):
    found = client.get(id)
    if found is not None:
        return int(found)
    loaded = ask_primary("read", id)
    client.set(id, loaded, ex=TTL)
    return loaded


serve(version("redis"), get, client.delete)
