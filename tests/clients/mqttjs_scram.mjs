// SCRAM-SHA-256 with mqtt.js, which leaves the exchange to its user:
// node mqttjs_scram.mjs DIRECTORY-OF-NODE_MODULES CA-FILE URL USER PASSWORD
import { createRequire } from 'node:module'
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import assert from 'node:assert/strict'

const [, , modules, file, url, user, secret] = process.argv
const mqtt = createRequire(modules + '/')('mqtt')
const ca = readFileSync(file)
const METHOD = 'SCRAM-SHA-256'
const mac = (key, text) => createHmac('sha256', key).update(text).digest()

// The client's side of one exchange.
class Scram {
  constructor(password, who = user) {
    this.password = password
    this.bare = `n=${who},r=${randomBytes(18).toString('base64')}`
    this.first = Buffer.from('n,,' + this.bare)
  }
  answer(challenge) {
    const text = challenge.toString()
    const { r, s, i } = Object.fromEntries(text.split(',').map(f => [f[0], f.slice(2)]))
    assert(this.bare.endsWith(r.slice(0, 24)), 'the nonce goes on from mine')
    const salted = pbkdf2Sync(this.password, Buffer.from(s, 'base64'), Number(i), 32, 'sha256')
    const key = mac(salted, 'Client Key')
    const message = `${this.bare},${text},c=biws,r=${r}`
    const signature = mac(createHash('sha256').update(key).digest(), message)
    const proof = Buffer.from(key.map((byte, n) => byte ^ signature[n])).toString('base64')
    this.expected = 'v=' + mac(mac(salted, 'Server Key'), message).toString('base64')
    return Buffer.from(`c=biws,r=${r},p=${proof}`)
  }
}

const auth = (reasonCode, authenticationData) =>
  ({ cmd: 'auth', reasonCode, properties: { authenticationMethod: METHOD, authenticationData } })

function connect(scram, method = METHOD) {
  const c = mqtt.connect(url, {
    protocolVersion: 5, reconnectPeriod: 0, ca,
    properties: { authenticationMethod: method, authenticationData: scram.first },
  })
  c.scram = scram
  c.handleAuth = (packet, done) => {
    if (packet.reasonCode === 0x18) {
      return done(null, auth(0x18, c.scram.answer(packet.properties.authenticationData)))
    }
    c.emit('again', packet)
    done()
  }
  return new Promise((resolve, reject) => {
    c.once('connect', connack => resolve([c, connack]))
    c.once('error', reject)
  })
}

const scram = new Scram(secret)
const [c, connack] = await connect(scram)
assert.equal(connack.properties.authenticationMethod, METHOD)
assert.equal(connack.properties.authenticationData.toString(), scram.expected, 'the broker knows it too')
c.on('error', error => { throw error })
await c.subscribeAsync('t', { qos: 1 })

// Again, with messages under way.
c.scram = new Scram(secret)
const again = new Promise(resolve => c.once('again', resolve))
const messages = []
c.on('message', (topic, payload) => messages.push(payload.toString()))
const sent = [c.publishAsync('t', 'before', { qos: 1 })]
c._sendPacket(auth(0x19, c.scram.first))
sent.push(c.publishAsync('t', 'behind', { qos: 1 }))
const packet = await again
assert.equal(packet.reasonCode, 0)
assert.equal(packet.properties.authenticationData.toString(), c.scram.expected)
await Promise.all(sent)
await c.publishAsync('t', 'end', { qos: 1 })
while (messages.length < 3) await new Promise(r => c.once('message', r))
assert.deepEqual(messages, ['before', 'behind', 'end'])
await c.endAsync()

for (const [scram, method, code] of [
  [new Scram('robin'), METHOD, 0x86],
  [new Scram(secret, 'nobody'), METHOD, 0x86],
  [new Scram(secret), 'SCRAM-SHA-1', 0x8c],
]) {
  await assert.rejects(connect(scram, method), error => error.code === code)
}
console.log('passed')
