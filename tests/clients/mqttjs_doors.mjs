// mqtt.js over every way in: node mqttjs_doors.mjs DIRECTORY-OF-NODE_MODULES CA-FILE URL...
// Behind the URLs that let everybody in: "named", a user's name and password, and URLs for those.
// STONECHAT_CERTIFICATE: certificate and key that clients show, without ".pem" and ".key".
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import assert from 'node:assert/strict'

const mqtt = createRequire(process.argv[2] + '/')('mqtt')
const ca = readFileSync(process.argv[3])
const words = process.argv.slice(4)
const named = words.indexOf('named')
const [open, [, username, password, ...closed]] =
  named < 0 ? [words, []] : [words.slice(0, named), words.slice(named)]

const shown = process.env.STONECHAT_CERTIFICATE
const certificate = shown ? { cert: readFileSync(shown + '.pem'), key: readFileSync(shown + '.key') } : {}

function client(url, protocolVersion, options = {}) {
  const c = mqtt.connect(url, { protocolVersion, reconnectPeriod: 0, ca, ...certificate, ...options })
  c.got = []
  c.waiting = []
  c.on('message', (topic, payload, packet) => {
    const waiting = c.waiting.shift()
    waiting ? waiting(packet) : c.got.push(packet)
  })
  c.next = () => c.got.length ? c.got.shift() : new Promise(r => c.waiting.push(r))
  return c
}

// True once it is in, else the error. Errors of WebSocket only its stream tells.
async function outcome(c) {
  const end = await new Promise(resolve => {
    const fail = error => resolve(error.code ?? error.message)
    c.once('connect', () => resolve(true))
    c.on('error', fail)
    c.stream.on('error', fail)
  })
  c.end(true)
  return end
}

async function messages(url, version) {
  const c = client(url, version)
  await new Promise((resolve, reject) => { c.once('connect', resolve); c.once('error', reject) })
  const name = `t/${version}`
  await c.subscribeAsync(name, { qos: 2 })
  const large = Buffer.alloc(200_000, 'payload')
  for (const qos of [0, 1, 2]) {
    for (const payload of [Buffer.alloc(0), Buffer.from('hello'), large]) {
      await c.publishAsync(name, payload, { qos })
      const got = await c.next()
      assert.equal(got.qos, qos)
      assert(got.payload.equals(payload))
    }
  }
  // Many that stand in few frames and records, or in many.
  const all = []
  for (let n = 0; n < 500; n++) all.push(c.publishAsync(name, String(n), { qos: n % 3 }))
  const numbers = [[], [], []]
  for (let n = 0; n < 500; n++) {
    const got = await c.next()
    numbers[got.qos].push(Number(got.payload))
  }
  await Promise.all(all)
  for (const qos of [0, 1, 2]) {
    assert.deepEqual(numbers[qos], [...Array(500).keys()].filter(n => n % 3 === qos))
  }
  await c.endAsync()
}

for (const url of open) {
  for (const version of [4, 5]) await messages(url, version)
  if (url.startsWith('ws')) {
    assert.equal(await outcome(client(url + '/elsewhere', 5)), 'Unexpected server response: 404')
    const evil = { wsOptions: { ca, origin: 'https://elsewhere.example' } }
    assert.equal(await outcome(client(url, 5, evil)), 'Unexpected server response: 403')
    const good = { wsOptions: { ca, origin: 'https://here.example' } }
    assert.equal(await outcome(client(url, 5, good)), true)
  }
  if (url.includes('s://') && !url.startsWith('ws:')) {
    const error = await outcome(client(url, 5, { ca: undefined }))
    assert.match(String(error), /UNABLE_TO_VERIFY|unable to (verify|get)/)
  }
}
for (const url of closed) {
  for (const [version, wrong, nobody] of [[4, 4, 5], [5, 0x86, 0x87]]) {
    assert.equal(await outcome(client(url, version, { username, password })), true)
    assert.equal(await outcome(client(url, version, { username, password: 'robin' })), wrong)
    assert.equal(await outcome(client(url, version)), nobody)
  }
}
console.log('passed')
