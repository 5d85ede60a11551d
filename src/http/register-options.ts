import type { RegisterOptions } from 'fastify'

const ofRegister: ReadonlyArray<keyof RegisterOptions> = ['prefix', 'logLevel', 'logSerializers']

/** The options of a plugin, without those that `app.register` takes itself and hands on. */
export function withoutThoseOfRegister<Options extends object> (options: Options): Options {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !(ofRegister as readonly string[]).includes(name))) as Options
}
