// SPDX-License-Identifier: MIT
// A TCP port of loopback that nobody has, for a server that cannot choose one itself.
import net from 'node:net'

export const freePort = () =>
    new Promise((resolve) => {
        const server = net.createServer().listen(0, '127.0.0.1', () => {
            const { port } = server.address()
            server.close(() => resolve(port))
        })
    })
