// The tracker server of npm's bittorrent-tracker, which tells on its output who announced:
// node npm_tracker.mjs PATH-OF-ITS-SERVER.JS HOST PORT. It knows nothing of info hashes that begin with "dead".

import { pathToFileURL } from 'node:url'

const [path, host, port] = process.argv.slice(2)
const { default: Server } = await import(pathToFileURL(path))
const v6 = host.includes(':')

const server = new Server({
  filter: (hash, params, done) => done(hash.startsWith('dead') ? new Error('Torrent not registered') : null)
})
for (const event of ['start', 'update', 'complete', 'stop']) {
  server.on(event, (from, { type, info_hash: hash, peer_id: peer, addr, headers = {} }) => {
    console.log(JSON.stringify({ event, type, hash, peer, addr, agent: headers['user-agent'] ?? null }))
  })
}
server.on('error', error => { throw error })
server.listen(Number(port), { http: host, udp: v6 ? '127.0.0.1' : host, udp6: v6 ? host : '::1' })
