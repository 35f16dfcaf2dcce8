#!/usr/bin/env node
// An application beside the agent: it reads its secrets from files, and reads
// them again on SIGHUP.
//
//     app.mjs DIR PIDFILE
//
// It prints one line for each reading: how many secrets there are, and which
// changed, by a fingerprint. It never prints a value.

import { createHash } from 'node:crypto'
import { readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const [dir, pidFile] = process.argv.slice(2)
if (!pidFile) {
  console.error('usage: app.mjs DIR PIDFILE')
  process.exit(2)
}

// A Map, because a key may be named like a property of every object.
let secrets = null

// Reads all secrets of one generation. Resolving ..data once is what keeps two
// generations from being mixed.
function read() {
  const generation = realpathSync(join(dir, '..data'))
  return new Map(readdirSync(generation).sort().map((key) => [key, readFileSync(join(generation, key))]))
}

function reload() {
  try {
    const fresh = read()
    report(secrets, fresh)
    secrets = fresh
  } catch (error) {
    console.error(`keeping what I have: ${error.message}`)
  }
}

function report(old, fresh) {
  const changed = [...fresh].filter(([key, value]) => old && !old.get(key)?.equals(value))
  console.log(`read ${fresh.size} secrets; changed: ${changed.map(([key, value]) => `${key}=${fingerprint(value)}`).join(' ')}`)
}

function fingerprint(value) {
  return createHash('sha256').update(value).digest('hex').slice(0, 8)
}

// Stands for the work of the application, such as a server that listens.
const work = setInterval(() => {}, 60_000)

function stop() {
  clearInterval(work) // with nothing left to do, node ends with 0
  rmSync(pidFile, { force: true })
}

// First the handlers, then the pid file: a SIGHUP that finds no handler ends a
// process. Handlers run one after the other on the event loop.
process.on('SIGHUP', reload)
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
writeFileSync(pidFile, String(process.pid))
reload()
