import { writeFileSync } from 'node:fs'
import { chartSchema, chartSchemaPath } from './chart-schema.ts'

writeFileSync(chartSchemaPath, chartSchema())
