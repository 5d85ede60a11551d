import { Link } from './link.ts'
import type { LinkCommand } from './links.ts'

const links: Link[] = []

async function obey ({ link: number, act, value }: LinkCommand): Promise<number> {
  if (act === 'open') {
    const link = new Link(value as number)
    const port = await link.listen()
    links[number] = link
    return port
  }
  const link = links[number]
  if (link === undefined) throw new Error(`There is no link ${number}.`)
  if (act === 'delay') link.delay(value as object)
  else if (act === 'leadTo') link.leadTo(value as number)
  else if (act === 'holdSubscribers') return link.holdSubscribers()
  else link[act]()
  return 0
}

process.on('message', (command: LinkCommand) => {
  obey(command).then(
    (result) => process.send?.({ id: command.id, result }),
    (error: Error) => process.send?.({ id: command.id, error: error.message })
  )
})

// Whoever started this is gone, however that came about.
process.on('disconnect', () => { process.exit() })
// Ctrl-C reaches the whole group of processes; the links stay up until the run has ended its servers.
process.on('SIGINT', () => {})
