import { once } from 'node:events'
import { migrate } from '../../../src/db/migrate.ts'

process.stdout.write('loaded\n')
await once(process.stdin, 'data')
await migrate(process.argv[2] as string)
process.exit()
