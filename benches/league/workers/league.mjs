// What the workers in JavaScript share: the line protocol of benches/league/README.md.

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

export const TTL = 30_000
export const url = process.env.LEAGUE_REDIS
export const mode = process.argv[2]

/** One request to the primary: `read` for a loader, or `write`. */
export function askPrimary(verb, id) {
  return new Promise((resolve, reject) => {
    const stream = connect(process.env.LEAGUE_PRIMARY)
    let reply = ''
    stream.setEncoding('utf8')
    stream.on('data', (piece) => (reply += piece))
    stream.on('end', () => (reply.endsWith('\n') ? resolve(Number(reply)) : reject(new Error('no reply'))))
    stream.on('error', reject)
    stream.write(`${verb} ${id}\n`)
  })
}

/** The version of an installed package. */
export function versionOf(name) {
  const path = new URL(`node_modules/${name}/package.json`, import.meta.url)
  return JSON.parse(readFileSync(path, 'utf8')).version
}

/** Answers the judge. It has as many requests under way as it wants. */
export function serve(version, get, invalidate) {
  const reply = (text) => process.stdout.write(text + '\n')
  createInterface({ input: process.stdin })
    .on('line', async (line) => {
      const [number, verb, id] = line.split(' ')
      try {
        let found
        if (verb === 'get') {
          found = await get(id)
        } else {
          found = await askPrimary('write', id)
          await invalidate(id)
        }
        reply(`${number} ok ${found}`)
      } catch (error) {
        reply(`${number} error ${String(error).replaceAll('\n', ' ')}`)
      }
    })
    .on('close', () => process.exit(0))
  reply(`ready ${version}`)
}
