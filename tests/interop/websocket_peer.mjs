// A peer of the kind that lives in browsers, as a WebSocket tracker sees it, with an offer to whoever is there already:
// node websocket_peer.mjs URL INFO-HASH-IN-HEX SDP. Prints what the tracker says, and stays.

const [url, hash, sdp] = process.argv.slice(2)
const socket = new WebSocket(url)
socket.onopen = () => socket.send(JSON.stringify({
  action: 'announce',
  info_hash: Buffer.from(hash, 'hex').toString('latin1'),
  peer_id: '-WW0208-browserbrows',
  numwant: 1,
  uploaded: 0,
  downloaded: 0,
  left: 1,
  event: 'started',
  offers: [{ offer_id: '\u00e9'.repeat(20), offer: { type: 'offer', sdp } }]
}))
socket.onmessage = message => console.log(message.data)
socket.onerror = error => { throw error.error ?? error }
