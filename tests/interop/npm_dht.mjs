// A node of npm's bittorrent-dht that is asked in lines of JSON: node npm_dht.mjs PATH-OF-ITS-INDEX.JS HOST.
// Bytes are hex in both directions. It knows nobody until it is told of a node.

import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [path, host] = process.argv.slice(2)
const { default: DHT } = await import(pathToFileURL(path))

// What the prefixes stand for: RFC 8410, a raw ed25519 key in its DER dress.
const publicKey = raw => createPublicKey({
  key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]), format: 'der', type: 'spki'
})
const privateKey = seed => createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), format: 'der', type: 'pkcs8'
})

const dht = new DHT({ bootstrap: false, verify: (signature, text, key) => verify(null, text, publicKey(key), signature) })
const queries = {} // that came, by method
let found = []
dht.on('peer', peer => found.push([peer.host, peer.port]))
dht._rpc.on('query', ({ q }) => { queries[q] = (queries[q] ?? 0) + 1 })
dht.on('error', error => { throw error })

const bytes = hex => hex === undefined ? undefined : Buffer.from(hex, 'hex')
const told = call => new Promise((resolve, reject) => {
  call((error, ...rest) => error ? reject(error) : resolve(rest))
})

const commands = {
  async ping ({ host, port }) {
    const [node] = await told(done => dht._sendPing({ host, port }, done))
    dht.addNode({ ...node, id: Buffer.from(node.id) })
    return node.id.toString('hex')
  },
  async find_node ({ target }) {
    const query = { q: 'find_node', a: { id: dht._rpc.id, target: bytes(target) } }
    const seen = []
    const visit = (message, node) => { seen.push([message.r.id.toString('hex'), node.address ?? node.host, node.port]) }
    await told(done => dht._rpc.closest(bytes(target), query, visit, done))
    return seen
  },
  async lookup ({ hash }) {
    found = []
    await told(done => dht.lookup(bytes(hash), done))
    return found
  },
  async announce ({ hash, port }) {
    await told(done => dht.announce(bytes(hash), port, done))
    return null
  },
  async put ({ value, seed, salt, seq, cas }) {
    const item = { v: bytes(value) }
    if (seed !== undefined) {
      const key = privateKey(bytes(seed))
      const jwk = createPublicKey(key).export({ format: 'jwk' })
      Object.assign(item, { k: Buffer.from(jwk.x, 'base64url'), seq, sign: text => sign(null, text, key) })
      if (salt) item.salt = bytes(salt)
      if (cas !== undefined) item.cas = cas
    }
    const [target, stored] = await told(done => dht.put(item, done))
    return [target.toString('hex'), stored]
  },
  async get ({ target, salt }) {
    const [item] = await told(done => dht.get(bytes(target), { cache: false, ...(salt && { salt: bytes(salt) }) }, done))
    return item && { value: item.v.toString('hex'), seq: item.seq ?? null, key: item.k ? item.k.toString('hex') : null }
  },
  async nodes () {
    return dht.nodes.toArray().map(node => [node.id.toString('hex'), node.host, node.port])
  },
  async queries () {
    return queries
  }
}

dht.listen(0, host, () => {
  console.log(JSON.stringify({ answer: dht.address().port }))
  createInterface({ input: process.stdin }).on('line', async line => {
    const { do: name, ...request } = JSON.parse(line)
    try {
      console.log(JSON.stringify({ answer: await commands[name](request) }))
    } catch (error) {
      console.log(JSON.stringify({ error: `npm's bittorrent-dht, ${name}: ${error.message}` }))
    }
  }).on('close', () => process.exit())
})
