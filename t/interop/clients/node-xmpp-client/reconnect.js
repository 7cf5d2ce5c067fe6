// node-xmpp-core wants "reconnect-core" from a branch at GitHub, whose package
// at npm has another interface.  This is as much of the former as one
// connection needs: create() makes the socket, and the emitter that it belongs
// to gets connect(), listen() and end().

module.exports = (create) => (options) => {
  const emitter = options.emitter
  let current

  emitter.listen = emitter.connect = (parameters) => {
    emitter.emit("reconnect")

    const socket = create(parameters)
    const left = (error) => {
      if (socket === current) emitter.emit("disconnect", error)
      current = socket === current ? null : current
    }

    current = socket

    socket.once("connect", () => {
      emitter.emit("connect", socket)
      emitter.emit("connection", socket)
    })

    socket.on("error", left)
    socket.on("close", () => left())

    return emitter
  }

  emitter.end = () => {
    emitter.reconnect = false
    if (current) current.end()
  }

  return emitter
}
