import { fork, type ChildProcess } from 'node:child_process'
import { argumentsFor } from '../support/built.ts'
import type { Delay } from './link.ts'

type Act = 'open' | 'hold' | 'holdSubscribers' | 'refuse' | 'reset' | 'delay' | 'leadTo' | 'heal'

export interface LinkCommand {
  readonly id: number
  readonly link: number
  readonly act: Act
  readonly value?: number | Delay
}

interface LinkReply {
  readonly id: number
  readonly result?: number
  readonly error?: string
}

/** One link, by remote control: each call resolves when it is in effect. */
export interface RemoteLink {
  readonly port: number
  hold (): Promise<unknown>
  holdSubscribers (): Promise<number>
  refuse (): Promise<unknown>
  reset (): Promise<unknown>
  delay (delay: Delay): Promise<unknown>
  leadTo (port: number): Promise<unknown>
  heal (): Promise<unknown>
}

/** The process that carries all links of a run. */
export class Links {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (reply: LinkReply) => void>()
  #ids = 0
  #links = 0

  constructor () {
    const nodeArgs = argumentsFor('test/torture/links-process.ts')
    this.#child = fork(nodeArgs.pop()!, { execArgv: nodeArgs })
    this.#child.on('message', (reply: LinkReply) => {
      this.#waiting.get(reply.id)?.(reply)
      this.#waiting.delete(reply.id)
    })
    this.#child.on('exit', () => {
      for (const [id, settle] of this.#waiting) settle({ id, error: 'The links are gone.' })
    })
  }

  async open (to: number): Promise<RemoteLink> {
    const link = this.#links++
    const port = await this.#ask(link, 'open', to)
    return {
      port,
      hold: async () => await this.#ask(link, 'hold'),
      holdSubscribers: async () => await this.#ask(link, 'holdSubscribers'),
      refuse: async () => await this.#ask(link, 'refuse'),
      reset: async () => await this.#ask(link, 'reset'),
      delay: async (delay) => await this.#ask(link, 'delay', delay),
      leadTo: async (port) => await this.#ask(link, 'leadTo', port),
      heal: async () => await this.#ask(link, 'heal')
    }
  }

  close (): void {
    if (this.#child.connected) this.#child.disconnect()
  }

  async #ask (link: number, act: Act, value?: number | Delay): Promise<number> {
    const id = this.#ids++
    const reply = await new Promise<LinkReply>((resolve) => {
      this.#waiting.set(id, resolve)
      this.#child.send({ id, link, act, value }, (error) => { if (error !== null) resolve({ id, error: error.message }) })
    })
    if (reply.error !== undefined) throw new Error(reply.error)
    return reply.result ?? 0
  }
}
