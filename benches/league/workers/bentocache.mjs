// bentocache. Mode `multitier`: memory, Redis and the bus. Mode `redis`: Redis only.

import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis'
import { askPrimary, mode, serve, TTL, url, versionOf } from './league.mjs'

const { hostname: host, port } = new URL(url)
const connection = { host, port: Number(port) }

const redis = bentostore().useL2Layer(redisDriver({ connection }))
const multitier = () =>
  bentostore()
    .useL1Layer(memoryDriver({ maxSize: '10mb' }))
    .useL2Layer(redisDriver({ connection }))
    .useBus(redisBusDriver({ connection }))

const bento = new BentoCache({
  default: 'cache',
  ttl: TTL,
  stores: { cache: mode === 'multitier' ? multitier() : redis },
})

serve(
  versionOf('bentocache'),
  (id) => bento.getOrSet({ key: id, factory: () => askPrimary('read', id) }),
  (id) => bento.delete({ key: id }),
)
