// cacheable: memory, Redis, and CacheableSync over Redis between the processes.

import KeyvRedis from '@keyv/redis'
import { RedisMessageProvider } from '@qified/redis'
import { Cacheable } from 'cacheable'
import { askPrimary, serve, TTL, url, versionOf } from './league.mjs'

const cache = new Cacheable({
  secondary: new KeyvRedis(url),
  ttl: TTL,
  sync: { qified: new RedisMessageProvider({ uri: url }) },
})
// It does not throw the errors of its stores: it emits them.
let failures = 0
cache.on('error', () => (failures += 1))

serve(
  versionOf('cacheable'),
  (id) => cache.getOrSet(id, () => askPrimary('read', id)),
  async (id) => {
    const before = failures
    await cache.delete(id)
    if (failures > before) throw new Error('a store failed')
  },
)
