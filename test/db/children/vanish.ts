import { connect } from '../../../src/db/connect.ts'

const { sql } = connect({ url: process.argv[2] as string, max: 1 })
await sql.begin(async (tx) => {
  await tx`insert into marks values (${1})`
  process.stdout.write('in the middle\n')
  await new Promise((resolve) => { setTimeout(resolve, 60_000) })
})
