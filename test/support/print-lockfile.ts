import { writeFileSync } from 'node:fs'
import { lockfileWithAddresses } from './lockfile.ts'

writeFileSync('package-lock.json', lockfileWithAddresses())
