// mqtt.js against a broker: node mqttjs_checks.mjs PORT DIRECTORY-OF-NODE_MODULES
import { createRequire } from 'node:module'
import assert from 'node:assert/strict'

const mqtt = createRequire(process.argv[3] + '/')('mqtt')
const url = 'mqtt://127.0.0.1:' + process.argv[2]

class Peer {
  static async open(name, protocolVersion, options = {}) {
    const peer = new Peer()
    const client = mqtt.connect(url, {
      clientId: name, protocolVersion, reconnectPeriod: 0,
      protocolId: protocolVersion === 3 ? 'MQIsdp' : 'MQTT', ...options,
    })
    Object.assign(peer, { client, got: [], waiting: [], closed: new Promise(r => client.once('close', r)) })
    client.on('message', (topic, payload, packet) => {
      packet.topic = topic // which came with an alias, perhaps
      const waiting = peer.waiting.shift()
      waiting ? waiting(packet) : peer.got.push(packet)
    })
    client.on('disconnect', packet => { peer.why = packet.reasonCode })
    peer.connack = await new Promise((resolve, reject) => {
      client.once('connect', resolve)
      client.once('error', reject)
    })
    client.on('error', () => {})
    return peer
  }
  async subscribe(topic, qos, more = {}) {
    await this.client.subscribeAsync(topic, { qos, ...more })
    return this
  }
  publish(topic, payload, qos, more = {}) {
    return this.client.publishAsync(topic, payload, { qos, ...more })
  }
  next() {
    return this.got.length ? this.got.shift() : new Promise(r => this.waiting.push(r))
  }
  close() {
    return this.client.endAsync()
  }
}

const session = version => version === 5 ? { clean: false, properties: { sessionExpiryInterval: 3600 } } : { clean: false }

const checks = {
  async roundTrip(v, name) {
    const reader = await (await Peer.open(name + '-r', v)).subscribe(name, 2)
    const writer = await Peer.open(name + '-w', v)
    const large = Buffer.alloc(16 << 20, 'payload')
    for (const qos of [0, 1, 2]) {
      for (const payload of [Buffer.from('hello'), large]) {
        await writer.publish(name, payload, qos)
        const got = await reader.next()
        assert.equal(got.qos, qos)
        assert(got.payload.equals(payload))
      }
    }
    await reader.close(); await writer.close()
  },
  async many(v, name) {
    const reader = await (await Peer.open(name + '-r', v)).subscribe(name, 2)
    const writer = await Peer.open(name + '-w', v)
    for (const qos of [0, 1, 2]) {
      for (let at = 0; at < 10000; at += 500) {
        const all = []
        for (let n = at; n < at + 500; n++) all.push(writer.publish(name, String(n), qos))
        await Promise.all(all)
      }
      for (let n = 0; n < 10000; n++) assert.equal((await reader.next()).payload.toString(), String(n))
    }
    await reader.close(); await writer.close()
  },
  async offline(v, name) {
    let peer = await Peer.open(name, v, session(v))
    await peer.subscribe(name, 1)
    await peer.close()
    const writer = await Peer.open(name + '-w', v)
    for (let n = 0; n < 200; n++) await writer.publish(name, String(n), 1)
    peer = await Peer.open(name, v, session(v))
    if (v > 3) assert.equal(peer.connack.sessionPresent, true)
    for (let n = 0; n < 200; n++) assert.equal((await peer.next()).payload.toString(), String(n))
    await peer.close(); await writer.close()
  },
  async retained(v, name) {
    const writer = await Peer.open(name + '-w', v)
    await writer.publish(name, 'kept', 1, { retain: true })
    const reader = await (await Peer.open(name + '-r', v)).subscribe(name, 1)
    const got = await reader.next()
    assert(got.retain && got.payload.toString() === 'kept')
    await writer.publish(name, '', 1, { retain: true })
    await reader.close(); await writer.close()
  },
  async will(v, name) {
    const watcher = await (await Peer.open(name + '-r', v)).subscribe(name, 1)
    const lost = await Peer.open(name, v, { will: { topic: name, payload: Buffer.from('gone'), qos: 1 } })
    lost.client.stream.destroy()
    assert.equal((await watcher.next()).payload.toString(), 'gone')
    await watcher.close()
  },
  async takeover(v, name) {
    const first = await Peer.open(name, v)
    const second = await Peer.open(name, v)
    await first.closed
    if (v === 5) assert.equal(first.why, 0x8e)
    await second.subscribe(name, 0)
    await second.publish(name, 'mine', 1)
    assert.equal((await second.next()).payload.toString(), 'mine')
    await second.close()
  },
}

async function properties(name) {
  const peer = await Peer.open(name, 5, { properties: { topicAliasMaximum: 5 }, autoAssignTopicAlias: true })
  await peer.subscribe(name, 2, { properties: { subscriptionIdentifier: 42 } })
  const sent = {
    userProperties: { a: ['1', '2'], b: '3' }, contentType: 'text/plain', responseTopic: 'answer/here',
    correlationData: Buffer.from([0, 255]), messageExpiryInterval: 100, payloadFormatIndicator: true,
  }
  // At QoS 2 it has an empty topic where a message came with an alias alone (5.16).
  for (let n = 0; n < 6; n++) {
    await peer.publish(name, 'x', n % 2, { properties: { ...sent } })
    const { topic, properties: got } = await peer.next()
    assert.equal(topic, name)
    assert.deepEqual({ ...got.userProperties }, sent.userProperties)
    assert.equal(got.contentType, 'text/plain')
    assert.equal(got.responseTopic, 'answer/here')
    assert.deepEqual(got.correlationData, sent.correlationData)
    assert(got.messageExpiryInterval > 90)
    assert.equal(got.subscriptionIdentifier, 42)
  }
  await peer.close()
}

for (const version of [3, 4, 5]) {
  for (const [name, check] of Object.entries(checks)) {
    if (process.env.VERBOSE) console.log(name, version)
    await check(version, `${name}-${version}`)
  }
}
await properties('properties')
console.log('passed')
