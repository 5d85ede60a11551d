import type { Socket } from 'node:net'

/**
 * Resets the connection. Where its end is just being sent, libuv refuses the reset (EINVAL) and never closes the handle,
 * and the process spins when it should exit: such a one is destroyed.
 */
export function reset (socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy()
  else socket.resetAndDestroy()
}
