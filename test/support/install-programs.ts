import { install, type ProgramName } from './programs.ts'

install(process.argv.slice(2) as ProgramName[])
